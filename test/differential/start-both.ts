import { ensureEtcd } from '../../scripts/get-etcd.js';
import { type EmbeddedEtcd, start } from '../../src/embed/index.js';

/** Starts a real etcd, and the one in this process. */
export async function startBoth(): Promise<readonly [real: EmbeddedEtcd, ours: EmbeddedEtcd]> {
  const { etcd } = await ensureEtcd('newest');
  const real = start({
    engine: 'etcd',
    binary: etcd,
    unsafeNoFsync: true,
    quotaBackendBytes: 8 * 1024 ** 3,
    bcryptCost: 4,
    logLevel: 'error',
  });
  return Promise.all([real, start()]);
}
