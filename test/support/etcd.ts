import { randomUUID } from 'node:crypto';
import { afterEach, inject } from 'vitest';
import { containerWith } from '../../src/container.js';
import { prefixRange } from '../../src/core/keys.js';
import { FaultProxy, start } from '../../src/embed/index.js';
import {
  type ConnectOptions,
  type Coordinator,
  connect,
  type Etcd3Options,
  Etcd3Store,
  type Store,
} from '../../src/index.js';
import { sharedEndpoint } from './endpoint.js';
import { RawClient } from './raw-client.js';

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
  /** A store of one's own. */
  open(options: Partial<Etcd3Options>): Etcd3Store;
  /** A proxy that can make the network fail, to the shared etcd or elsewhere. */
  startProxy(target?: string): Promise<FaultProxy>;
  /** A name nobody else uses. */
  name(): string;
  /** How many keys begin with `prefix`. */
  count(prefix: string): Promise<number>;
  /** Starts another etcd of the same kind, for one test: its client URL. */
  startOwn(): Promise<string>;
  /** Calls `dispose` after the test. */
  defer(dispose: () => unknown): void;
}

/** Gives a file's tests their etcd. Call it at the top of the file. */
export function useEtcd(): TestEtcd {
  const cleanUps: (() => unknown)[] = [];
  const endpoint = sharedEndpoint();
  const usual = { endpoints: [endpoint], transport: inject('transport') };
  const admin = new Etcd3Store(usual);
  afterEach(async () => {
    for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
  });
  return {
    endpoint,
    admin,
    async connect(options = {}, decorate = (store) => store) {
      const full = { ...usual, ...options };
      const store = new Etcd3Store(full);
      cleanUps.push(() => store.close());
      const container = containerWith({ store: decorate(store) });
      const coordinator = await connect({ ...full, container });
      cleanUps.push(() => coordinator.close(0));
      return coordinator;
    },
    open(options) {
      const store = new Etcd3Store({ ...usual, ...options });
      cleanUps.push(() => store.close());
      return store;
    },
    async startProxy(target = endpoint) {
      const proxy = await FaultProxy.start(target);
      cleanUps.push(() => proxy.close());
      return proxy;
    },
    name: () => `test-${randomUUID()}`,
    count: async (prefix) => (await admin.read(prefixRange(prefix))).count,
    async startOwn() {
      const engine = inject('engine');
      const own = engine === 'etcd' ? await start({ engine, unsafeNoFsync: true }) : await start();
      cleanUps.push(() => own.stop());
      return own.endpoints[0] ?? '';
    },
    defer: (dispose) => {
      cleanUps.push(dispose);
    },
  };
}

/** Compacts etcd's history up to now. */
export async function compact(endpoint: string, store: Store): Promise<void> {
  const { revision } = await store.read({ key: 'x' });
  const client = new RawClient(endpoint);
  try {
    await client.call('KV.Compact', { revision: Number(revision), physical: true });
  } finally {
    client.close();
  }
}
