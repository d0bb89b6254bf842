import type { TestProject } from 'vitest/node';
import { ensureEtcd } from '../../scripts/get-etcd.js';
import { start } from '../../src/embed/index.js';

declare module 'vitest' {
  interface ProvidedContext {
    readonly engine: 'in-process' | 'etcd';
    readonly transport: 'http2' | 'grpc';
    readonly endpoint: string;
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
  const server =
    engine === 'etcd'
      ? await start({ engine, binary: etcd, unsafeNoFsync: true })
      : await start({ engine });
  provide('engine', engine);
  provide('transport', name === 'over grpc' ? 'grpc' : 'http2');
  provide('endpoint', server.endpoints[0] ?? '');
  provide('etcd', etcd);
  provide('etcdctl', etcdctl);
  return () => server.stop();
}
