import { ArgumentError } from '../../core/store/errors.js';
import { type Clock, systemClock } from '../../core/time/clock.js';
import { milliseconds } from '../../core/validate.js';
import type { EtcdAutoCompaction, EtcdPings, EtcdTlsFiles } from '../shared-options.js';
import {
  checkAuth,
  checkAutoCompaction,
  checkName,
  checkTls,
  integer,
  LONGEST_SOCKET_PATH,
} from '../validate.js';

/** How an etcd inside this process is started. Names and meanings are those of the real one, where it has them. */
export interface InProcessOptions {
  /** @defaultValue `'in-process'` */
  readonly engine?: 'in-process';
  /** @defaultValue `'etcd'` */
  readonly name?: string;
  /**
   * URLs to serve clients on: `http://127.0.0.1:<port>` (port 0: a free one), `https://...` with `tls`, or
   * `unix:/path/of/a/socket`. They become `endpoints`. An empty list serves only `server.store()`.
   * @defaultValue one URL on 127.0.0.1 with a free port
   */
  readonly listenClientUrls?: readonly string[];
  /**
   * TLS for clients. There is no `'auto'` here: Node cannot make certificates.
   * @defaultValue none
   */
  readonly tls?: EtcdTlsFiles;
  /**
   * Where time comes from. With a `VirtualClock`, leases end when the test lets time pass.
   * @defaultValue real time
   */
  readonly clock?: Clock;
  /**
   * Creates the user `root` with this password and enables authentication: clients have to say who they are, and may
   * do what etcd lets them. `store()` may do everything.
   * @defaultValue no authentication until a client enables it
   */
  readonly auth?: { readonly password: string };
  /**
   * Milliseconds a token lives after its last use.
   * @defaultValue 300000
   */
  readonly authTokenTtl?: number;
  /**
   * Milliseconds; leases asked for less get so much, in whole seconds.
   * @defaultValue 2000, like etcd with its default election timeout
   */
  readonly minLeaseTtl?: number;
  /**
   * Operations allowed in one transaction.
   * @defaultValue 128
   */
  readonly maxTxnOps?: number;
  /**
   * Bytes allowed in one request.
   * @defaultValue 1572864
   */
  readonly maxRequestBytes?: number;
  /**
   * Drops old revisions in the background; what is kept is at most a tenth more than asked for, or 100 revisions. All
   * data is in memory, so a server that runs for long needs it.
   * @defaultValue none: history is kept until it is compacted by request
   */
  readonly autoCompaction?: EtcdAutoCompaction;
  /**
   * Milliseconds between progress notifications on idle watches that asked for them.
   * @defaultValue 600000
   */
  readonly watchProgressInterval?: number;
  /**
   * Pings to idle clients, so that one that is gone without a word leaves nothing behind.
   * @defaultValue an `interval` of 60000 instead of etcd's 7200000
   */
  readonly keepAlive?: EtcdPings;
}

/** Pings where nothing else is asked for. etcd waits for two hours; who develops restarts clients all day. */
const PINGS = { interval: 60_000, timeout: 20_000 };

/** All of them, with defaults filled in. */
export type ResolvedOptions = Required<
  Omit<InProcessOptions, 'engine' | 'tls' | 'auth' | 'autoCompaction'>
> &
  Pick<InProcessOptions, 'tls' | 'auth' | 'autoCompaction'>;

/** Real time that does not keep the process alive. */
const backgroundClock: Clock = {
  ...systemClock,
  after(ms, callback) {
    const timer = setTimeout(callback, ms).unref();
    return () => clearTimeout(timer);
  },
};

/** Checks what a user gave, and fills in the rest. @throws ArgumentError naming the option that is not usable */
export function resolveOptions(options: InProcessOptions): ResolvedOptions {
  const scheme = options.tls ? 'https' : 'http';
  const resolved = {
    name: 'etcd',
    listenClientUrls: [`${scheme}://127.0.0.1:0`],
    clock: backgroundClock,
    minLeaseTtl: 2000,
    authTokenTtl: 300_000,
    maxTxnOps: 128,
    maxRequestBytes: 1.5 * 1024 * 1024,
    watchProgressInterval: 600_000,
    keepAlive: PINGS,
    ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
  } as ResolvedOptions;
  for (const method of ['now', 'after', 'sleep'] as const) {
    if (typeof resolved.clock?.[method] !== 'function') {
      throw new ArgumentError('clock', 'a Clock, such as a VirtualClock', resolved.clock);
    }
  }
  checkName(resolved.name);
  checkUrls(resolved.listenClientUrls, scheme);
  if (options.tls === ('auto' as unknown)) {
    throw new ArgumentError(
      'tls',
      "the files of a certificate; 'auto' needs engine: 'etcd'",
      'auto',
    );
  }
  checkTls('tls', options.tls);
  checkAuth(options.auth);
  milliseconds('authTokenTtl', resolved.authTokenTtl, 1000);
  milliseconds('minLeaseTtl', resolved.minLeaseTtl, 1);
  milliseconds('watchProgressInterval', resolved.watchProgressInterval, 1);
  integer('maxTxnOps', resolved.maxTxnOps, 1);
  integer('maxRequestBytes', resolved.maxRequestBytes, 1);
  milliseconds('keepAlive.interval', options.keepAlive?.interval ?? 0);
  milliseconds('keepAlive.timeout', options.keepAlive?.timeout ?? 0);
  checkAutoCompaction(options.autoCompaction);
  return { ...resolved, keepAlive: { ...PINGS, ...options.keepAlive } };
}

function checkUrls(urls: readonly string[], scheme: string): void {
  const expected = `a list of ${scheme}://<IP address or localhost>:<port> or unix:/<path>`;
  if (!Array.isArray(urls)) throw new ArgumentError('listenClientUrls', expected, urls);
  const web = new RegExp(`^${scheme}://(localhost|[\\d.]+|\\[[\\da-f:.]+\\]):\\d+/?$`);
  for (const url of urls) {
    const path = /^unix:(?:\/\/)?(\/.+)$/.exec(String(url))?.[1];
    if (path === undefined && !(web.test(String(url)) && URL.canParse(url))) {
      throw new ArgumentError('listenClientUrls', expected, url);
    }
    if (Buffer.byteLength(path ?? '') > LONGEST_SOCKET_PATH) {
      throw new ArgumentError(
        'listenClientUrls',
        `a path of at most ${LONGEST_SOCKET_PATH} bytes`,
        path,
      );
    }
  }
}
