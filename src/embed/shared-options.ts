/** Files in PEM form for one side of etcd's TLS. */
export interface EtcdTlsFiles {
  /**
   * The certificate etcd presents. It must name `127.0.0.1` and, with `clientCertAuth`, be valid for client
   * authentication too, because etcd presents it to itself.
   */
  readonly cert: string;
  /** The private key of `cert`. */
  readonly key: string;
  /**
   * The authority that signed the certificates.
   * @defaultValue `cert` itself, which is right when it is self-signed
   */
  readonly ca?: string;
  /**
   * Whether the other side must present a certificate signed by `ca` too.
   * @defaultValue false
   */
  readonly clientCertAuth?: boolean;
}

/** How a server finds out that a client is gone without a word. */
export interface EtcdPings {
  /**
   * Milliseconds of silence after which the server pings a client; 0 disables.
   * @defaultValue 7200000
   */
  readonly interval?: number;
  /**
   * Milliseconds the server waits for the answer before it closes the connection; 0 disables.
   * @defaultValue 20000
   */
  readonly timeout?: number;
}

/** How much history etcd keeps by itself: a time span, or a number of revisions. */
export interface EtcdAutoCompaction {
  /** What `retention` counts. */
  readonly mode: 'periodic' | 'revision';
  /** Milliseconds of history to keep (`periodic`), or revisions (`revision`). */
  readonly retention: number;
}
