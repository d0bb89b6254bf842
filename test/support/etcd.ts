import { randomUUID } from 'node:crypto';
import { afterEach, inject } from 'vitest';
import { containerWith, makeStore } from '../../src/container.js';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import { type EtcdCluster, FaultProxy, type InProcessEtcd, start } from '../../src/embed/index.js';
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
  /** Connects so many times. */
  connectAll(count: number): Promise<Coordinator[]>;
  /** A name nobody else uses. What recipes of a kind keep under it, if one is given, goes after the test. */
  name(kind?: string): string;
  /** How many keys begin with `prefix`. */
  count(prefix: string): Promise<number>;
  /** Starts another etcd of the same kind, for one test: its client URL. */
  startOwn(options?: OwnEtcdOptions): Promise<string>;
  /** Calls `dispose` after the test. */
  defer(dispose: () => unknown): void;
}

/** How an etcd of one's own is started. */
export interface OwnEtcdOptions {
  /** Asks clients who they are; the password is that of `root`. */
  readonly auth?: { readonly password: string };
}

/** Gives a file's tests their etcd. Call it at the top of the file. */
export function useEtcd(): TestEtcd {
  const cleanUps: (() => unknown)[] = [];
  const endpoint = sharedEndpoint();
  const transport = inject('transport');
  // It is well, though it may be slow where the machine is busy elsewhere.
  const shared = { endpoints: [endpoint], transport, timeout: 60_000 };
  const withUsual = <Options extends Partial<Etcd3Options>>(options: Options) =>
    options.endpoints ? { transport, ...options } : { ...shared, ...options };
  const admin = new Etcd3Store(shared);
  afterEach(async () => {
    for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
  });
  const remove = (folders: readonly string[]): Promise<unknown> =>
    admin.commit({ success: folders.map((folder) => ({ delete: prefixRange(folder) })) });
  return {
    endpoint,
    admin,
    connectAll(count) {
      return Promise.all(Array.from({ length: count }, () => this.connect()));
    },
    async connect(options = {}, decorate) {
      const full = withUsual(options);
      // As users have it, unless a test has other plans.
      const store = decorate ? new Etcd3Store(full) : makeStore(full);
      cleanUps.push(() => store.close());
      const container = containerWith({ store: decorate ? decorate(store) : store });
      const coordinator = await connect({ ...full, container });
      cleanUps.push(() => coordinator.close(0));
      return coordinator;
    },
    open(options) {
      const store = new Etcd3Store(withUsual(options));
      cleanUps.push(() => store.close());
      return store;
    },
    async startProxy(target = endpoint) {
      const proxy = await FaultProxy.start(target);
      cleanUps.push(() => proxy.close());
      return proxy;
    },
    name(kind) {
      const name = `test-${randomUUID()}`;
      if (kind !== undefined) {
        cleanUps.push(() => remove([folderOf(kind, name), folderOf('audit', `${kind}/${name}`)]));
      }
      return name;
    },
    count: async (prefix) => (await admin.read(prefixRange(prefix))).count,
    async startOwn(options) {
      const own = await startAlike(options);
      cleanUps.push(() => own.stop());
      return own.endpoints[0] ?? '';
    },
    defer: (dispose) => {
      cleanUps.push(dispose);
    },
  };
}

/** Starts another etcd of the kind of the project's. */
export function startAlike(options: OwnEtcdOptions = {}): Promise<EtcdCluster | InProcessEtcd> {
  const engine = inject('engine');
  return engine === 'etcd'
    ? start({ engine, unsafeNoFsync: true, bcryptCost: 4, ...options })
    : start({ engine, ...options });
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
