import { ArgumentError } from '../core/store/errors.js';
import type { EtcdCluster } from './process/cluster.js';
import type { EtcdOptions } from './process/options.js';
import { startEtcd } from './process/start.js';
import { InProcessEtcd } from './server/in-process-etcd.js';
import type { InProcessOptions } from './server/options.js';

/** A running etcd, whatever it runs on. It ends with this process at the latest. */
export interface EmbeddedEtcd extends AsyncDisposable {
  readonly engine: 'in-process' | 'etcd';
  /** The URLs that clients use. */
  readonly endpoints: readonly string[];
  /** The version of etcd, such as `3.7.3`. */
  readonly version: string;
  /** The certificates a client must trust, as PEM; `undefined` without TLS. */
  readonly ca: string | undefined;
  /** Ends it and removes temporary data. Calling it again waits for the same end. */
  stop(): Promise<void>;
}

/**
 * Starts an etcd to develop, test and demonstrate with; it listens on loopback only unless URLs are given.
 *
 * - `engine: 'in-process'`, the default, is a server inside this process: nothing to install, all data in memory,
 *   time and faults under control of a test.
 * - `engine: 'etcd'` runs the real `etcd` on this machine, one process for each member, and resolves when all of them
 *   answer a linearizable read. They end with this process.
 *
 * Neither keeps this process alive.
 *
 * @throws ArgumentError when an option is not usable
 * @throws EtcdStartError with the end of etcd's log when a real one cannot be found or started, or is not ready in time
 * @throws Error with `code` `EADDRINUSE` when the in-process one is to listen where somebody else does
 */
export async function start(
  options: EtcdOptions & { readonly engine: 'etcd' },
): Promise<EtcdCluster>;
export async function start(options?: InProcessOptions): Promise<InProcessEtcd>;
export async function start(
  options: InProcessOptions | (EtcdOptions & { readonly engine: 'etcd' }),
): Promise<EmbeddedEtcd>;
export async function start(
  options: InProcessOptions | (EtcdOptions & { readonly engine: 'etcd' }) = {},
): Promise<EmbeddedEtcd> {
  switch (options.engine) {
    case 'etcd':
      return startEtcd(options);
    case 'in-process':
    case undefined:
      return InProcessEtcd.start(options);
    default:
      throw new ArgumentError(
        'engine',
        "'in-process' or 'etcd'",
        (options as InProcessOptions).engine,
      );
  }
}
