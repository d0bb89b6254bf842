import type { TestProject } from 'vitest/node';
import { ensureEtcd } from '../../scripts/get-etcd.js';
import { start } from '../../src/embed/index.js';

declare module 'vitest' {
  interface ProvidedContext {
    readonly endpoint: string;
    readonly etcd: string;
    readonly etcdctl: string;
  }
}

/** Starts the etcd that the suites of one project share. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { etcd, etcdctl } = await ensureEtcd(project.name.replace('etcd ', ''));
  const cluster = await start({ engine: 'etcd', binary: etcd, unsafeNoFsync: true });
  const [endpoint = ''] = cluster.endpoints;
  project.provide('endpoint', endpoint);
  project.provide('etcd', etcd);
  project.provide('etcdctl', etcdctl);
  return () => cluster.stop();
}
