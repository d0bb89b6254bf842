import { ArgumentError } from '../core/errors.js';
import type { EtcdCluster } from './process/cluster.js';
import type { EtcdOptions } from './process/options.js';
import { startEtcd } from './process/start.js';

/**
 * Starts real `etcd` processes on this machine and resolves when every member answers a linearizable read.
 *
 * They listen on loopback only unless URLs are given, do not keep this process alive, and end with it.
 *
 * @throws ArgumentError when an option is not usable
 * @throws EtcdStartError with the end of etcd's log when it cannot be found or started, or is not ready in time
 */
export async function start(
  options: EtcdOptions & { readonly engine: 'etcd' },
): Promise<EtcdCluster> {
  if (options.engine !== 'etcd') {
    throw new ArgumentError('engine', "'etcd'", options.engine);
  }
  const { engine: _, ...rest } = options;
  return startEtcd(rest);
}
