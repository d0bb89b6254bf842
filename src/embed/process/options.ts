import type { EtcdAutoCompaction, EtcdPings, EtcdTlsFiles } from '../shared-options.js';

/** The pings of etcd's gRPC server. */
export interface EtcdKeepAlive extends EtcdPings {
  /**
   * Milliseconds a client must leave between two pings, or its connection is closed.
   * @defaultValue 5000
   */
  readonly minTime?: number;
}

/** How etcd is started. Whatever is left out has etcd's own default. Durations are milliseconds. */
export interface EtcdOptions {
  /**
   * The `etcd` to run: a path, or a name looked up in `PATH`.
   * @defaultValue the environment variable `ETCD_BIN`, else `etcd` in `PATH`
   */
  readonly binary?: string;
  /**
   * Members of the cluster, all on this machine.
   * @defaultValue 1
   */
  readonly members?: number;
  /**
   * Name of the member; with several members `<name>-1`, `<name>-2` and so on.
   * @defaultValue `'etcd'`
   */
  readonly name?: string;
  /**
   * Where data is kept after `stop()`, so that a later start continues with it: the data directory of a single
   * member; of several members, the directory that has one data directory for each, named after it.
   * @defaultValue a temporary directory, removed by `stop()`
   */
  readonly dir?: string;
  /**
   * Where the write-ahead log goes, laid out like `dir`. It is kept.
   * @defaultValue inside the data directory
   */
  readonly walDir?: string;
  /**
   * URLs a single member serves clients on; hosts are IP addresses or `localhost`.
   * @defaultValue one URL on 127.0.0.1 with a free port
   */
  readonly listenClientUrls?: readonly string[];
  /**
   * URLs a single member tells clients to use; they become `endpoints`.
   * @defaultValue `listenClientUrls`
   */
  readonly advertiseClientUrls?: readonly string[];
  /**
   * URLs a single member listens on for other members.
   * @defaultValue one URL on 127.0.0.1 with a free port
   */
  readonly listenPeerUrls?: readonly string[];
  /**
   * URLs a single member tells other members to use.
   * @defaultValue `listenPeerUrls`
   */
  readonly advertisePeerUrls?: readonly string[];
  /**
   * All members, as `name=peerUrl,name=peerUrl`, when a single member joins a cluster that is not started here.
   * @defaultValue the members started here
   */
  readonly initialCluster?: string;
  /**
   * `existing` when the single member was added to a cluster that runs already; needs `initialCluster`.
   * @defaultValue `'new'`
   */
  readonly clusterState?: 'new' | 'existing';
  /**
   * Keeps clusters apart that were started from the same configuration.
   * @defaultValue `'etcd-cluster'`
   */
  readonly clusterToken?: string;
  /**
   * Milliseconds between two heartbeats of the leader.
   * @defaultValue 100
   */
  readonly heartbeatInterval?: number;
  /**
   * Milliseconds without a heartbeat after which a member calls an election: at least five heartbeats, at most
   * 50000. The shortest lease etcd grants is about one and a half of these, rounded up to seconds.
   * @defaultValue 1000
   */
  readonly electionTimeout?: number;
  /**
   * Whether a member asks if it could win before it calls an election.
   * @defaultValue true from etcd 3.5 on, false in 3.4
   */
  readonly preVote?: boolean;
  /**
   * Committed transactions after which a snapshot is written.
   * @defaultValue 10000 from etcd 3.6 on, 100000 before
   */
  readonly snapshotCount?: number;
  /**
   * Bytes the database may grow to before etcd refuses writes; 0 means etcd's 2 GiB, negative means no limit.
   * @defaultValue 0
   */
  readonly quotaBackendBytes?: number;
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
   * Drops old revisions in the background.
   * @defaultValue none: history is kept until it is compacted by request
   */
  readonly autoCompaction?: EtcdAutoCompaction;
  /**
   * Milliseconds between progress notifications on idle watches that asked for them.
   * @defaultValue 600000
   */
  readonly watchProgressInterval?: number;
  /** Pings between etcd and its gRPC clients. */
  readonly keepAlive?: EtcdKeepAlive;
  /**
   * TLS for clients: `'auto'` lets etcd make a self-signed certificate for each member (see `EtcdCluster.ca`).
   * @defaultValue none
   */
  readonly tls?: 'auto' | EtcdTlsFiles;
  /**
   * TLS between members: `'auto'` encrypts without checking who the other one is.
   * @defaultValue none
   */
  readonly peerTls?: 'auto' | EtcdTlsFiles;
  /**
   * Creates the user `root` with this password and enables authentication. With a kept `dir` where that was done
   * before, the password must be the same.
   * @defaultValue no authentication
   */
  readonly auth?: { readonly password: string };
  /**
   * Form of the tokens that clients get when they authenticate: `simple`, or `jwt,...` with etcd's options.
   * @defaultValue `'simple'`
   */
  readonly authToken?: string;
  /**
   * Milliseconds a simple token lives, in whole seconds.
   * @defaultValue 300000
   */
  readonly authTokenTtl?: number;
  /**
   * Work spent on hashing a password, 4 to 31: each step doubles it. Low values make tests fast.
   * @defaultValue 10
   */
  readonly bcryptCost?: number;
  /**
   * Least severe messages to log.
   * @defaultValue `'info'`
   */
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error' | 'panic' | 'fatal';
  /**
   * Whether etcd skips waiting for the disk. Faster, and loses data when the machine (not etcd) crashes.
   * @defaultValue false
   */
  readonly unsafeNoFsync?: boolean;
  /**
   * More flags for etcd as `--flag=value`, for what has no option here.
   * @defaultValue none
   */
  readonly flags?: readonly string[];
  /**
   * Environment variables for etcd, added to those of this process. Variables of this process that would
   * configure etcd (`ETCD_...`) are not passed on.
   * @defaultValue none
   */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Milliseconds a start or restart may take until every member answers a linearizable read.
   * @defaultValue 30000
   */
  readonly startTimeout?: number;
  /** Gives up the start: all is stopped and cleaned up, and the start rejects with the reason of the signal. */
  readonly signal?: AbortSignal;
}
