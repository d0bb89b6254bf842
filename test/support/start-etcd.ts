import type { TestProject } from 'vitest/node';
import { ensureEtcd } from '../../scripts/get-etcd.js';
import { type EtcdCluster, type InProcessEtcd, start } from '../../src/embed/index.js';
import { workers } from './workers.js';

declare module 'vitest' {
  interface ProvidedContext {
    readonly engine: 'in-process' | 'etcd';
    readonly transport: 'http2' | 'grpc';
    /** One for each worker. */
    readonly endpoints: readonly string[];
    readonly etcd: string;
    readonly etcdctl: string;
  }
}

/**
 * Starts the etcd that the suites of one project share. The project is named after it: `in-process`, or `etcd <release>`;
 * or after what carries calls to the one in process: `over grpc`.
 */
export async function setup({ name, provide }: TestProject): Promise<() => Promise<void>> {
  const engine = name.startsWith('etcd') ? 'etcd' : 'in-process';
  // The in-process one has none of its own; foreign clients of the newest release are tried on it.
  const { etcd, etcdctl } = await ensureEtcd(
    engine === 'etcd' ? name.replace('etcd ', '') : 'newest',
  );
  const own = async (): Promise<EtcdCluster | InProcessEtcd> =>
    engine === 'etcd' ? start({ engine, binary: etcd, unsafeNoFsync: true }) : start({ engine });
  const servers = await Promise.all(Array.from({ length: workers }, own));
  provide('engine', engine);
  provide('transport', name === 'over grpc' ? 'grpc' : 'http2');
  provide(
    'endpoints',
    servers.flatMap(({ endpoints }) => endpoints),
  );
  provide('etcd', etcd);
  provide('etcdctl', etcdctl);
  return async () => {
    await Promise.all(servers.map((server) => server.stop()));
  };
}
