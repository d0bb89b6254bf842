import { randomUUID } from 'node:crypto';
import { ensureEtcd } from '../../scripts/get-etcd.js';
import { type EmbeddedEtcd, start } from '../../src/embed/index.js';
import { findEtcd } from '../../src/embed/process/binary.js';
import { type Coordinator, connect } from '../../src/index.js';
import type { DemoOptions } from './options.js';

/** Much more than anybody can be behind, so that the demo may run for hours. */
const KEPT_REVISIONS = 100_000;
const EVERYTHING = { key: '\0', end: '\0' };

/** An etcd to play on, and a part of it that is ours. Disposing leaves nothing behind. */
export class Stage implements AsyncDisposable {
  readonly endpoints: readonly string[];
  /** Before all keys of this run. */
  readonly prefix: string = `demo-${randomUUID()}/`;
  /** Sees only what is below the prefix. */
  readonly room: Coordinator;
  readonly #coordinator: Coordinator;
  readonly #etcd: EmbeddedEtcd | undefined;

  private constructor(
    endpoints: readonly string[],
    coordinator: Coordinator,
    etcd: EmbeddedEtcd | undefined,
  ) {
    this.endpoints = endpoints;
    this.room = coordinator.namespace(this.prefix);
    this.#coordinator = coordinator;
    this.#etcd = etcd;
  }

  /** Connects to the cluster given, or starts an etcd. */
  static async set(
    { engine, endpoints }: Omit<DemoOptions, 'seconds'>,
    signal: AbortSignal,
  ): Promise<Stage> {
    const etcd = endpoints ? undefined : await startEtcd(engine, signal);
    const used = endpoints ?? etcd?.endpoints ?? [];
    try {
      const session = { label: 'demo' };
      return new Stage(used, await connect({ endpoints: used, session }), etcd);
    } catch (error) {
      await etcd?.stop();
      throw error;
    }
  }

  /** What it is, for people. */
  get description(): string {
    const { engine, version } = this.#etcd ?? {};
    const kind = engine === 'in-process' ? 'the in-process etcd' : `etcd ${version ?? ''}`.trim();
    return `${kind} at ${this.endpoints.join(', ')}`;
  }

  /** All keys of this run that there are now. */
  async keys(): Promise<string[]> {
    const { kvs } = await this.room.store.read({ ...EVERYTHING, keysOnly: true });
    return kvs.map(({ key }) => key.toString());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      const clear = { success: [{ delete: EVERYTHING }] };
      if (!this.#etcd) await this.room.store.commit(clear, { idempotent: true });
      await this.#coordinator.close();
    } finally {
      await this.#etcd?.stop();
    }
  }
}

async function startEtcd(
  engine: DemoOptions['engine'],
  signal: AbortSignal,
): Promise<EmbeddedEtcd> {
  return engine === 'etcd'
    ? start({ engine, binary: await binary(), signal, unsafeNoFsync: true })
    : start({ autoCompaction: { mode: 'revision', retention: KEPT_REVISIONS } });
}

/** One that is named or installed; otherwise one is fetched. */
async function binary(): Promise<string> {
  const named = process.env['ETCD_BIN'];
  if (named) return named;
  const installed = await findEtcd().catch(() => undefined);
  return installed?.path ?? (await ensureEtcd('newest')).etcd;
}
