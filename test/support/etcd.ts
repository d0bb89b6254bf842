import { randomUUID } from 'node:crypto';
import { container as root } from 'tsyringe';
import { afterEach, inject } from 'vitest';
import { prefixRange } from '../../src/core/keys.js';
import {
  type ConnectOptions,
  type Coordinator,
  connect,
  Etcd3Store,
  STORE,
  type Store,
} from '../../src/index.js';

/** The etcd shared by the suites of a project, and what tests open on it: closed after each test. */
export interface TestEtcd {
  /** Its client URL. */
  readonly endpoint: string;
  /** A connection that no fault touches. */
  readonly admin: Etcd3Store;
  /** Connects; `decorate` puts something between recipes and etcd. */
  connect(
    options?: Partial<ConnectOptions>,
    decorate?: (store: Store) => Store,
  ): Promise<Coordinator>;
  /** A name nobody else uses. */
  name(): string;
  /** How many keys begin with `prefix`. */
  count(prefix: string): Promise<number>;
  /** Calls `dispose` after the test. */
  defer(dispose: () => unknown): void;
}

/** Gives a file's tests their etcd. Call it at the top of the file. */
export function useEtcd(): TestEtcd {
  const cleanUps: (() => unknown)[] = [];
  const endpoint = inject('endpoint');
  const admin = new Etcd3Store({ endpoints: [endpoint] });
  afterEach(async () => {
    for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
  });
  return {
    endpoint,
    admin,
    async connect(options = {}, decorate = (store) => store) {
      const container = root.createChildContainer();
      const full = { endpoints: [endpoint], ...options };
      const store = new Etcd3Store(full);
      cleanUps.push(() => store.close());
      container.registerInstance(STORE, decorate(store));
      const coordinator = await connect({ ...full, container });
      cleanUps.push(() => coordinator.close(0));
      return coordinator;
    },
    name: () => `test-${randomUUID()}`,
    count: async (prefix) => (await admin.read(prefixRange(prefix))).count,
    defer: (dispose) => {
      cleanUps.push(dispose);
    },
  };
}

/** Compacts etcd's history up to now. */
export async function compact(endpoint: string, store: Store): Promise<void> {
  const { revision } = await store.read({ key: 'x' });
  const url = `http://${endpoint.replace(/^http:\/\//, '')}/v3/kv/compaction`;
  const body = JSON.stringify({ revision: String(revision), physical: true });
  const response = await fetch(url, { method: 'POST', body });
  if (!response.ok) throw new Error(`compaction failed: ${await response.text()}`);
}
