import { expect } from 'vitest';
import { deferred } from '../../../src/core/time/deferred.js';
import {
  CoordinationError,
  type KeyValue,
  type Store,
  type Watch,
  type WatchEvent,
} from '../../../src/index.js';
import { waitFor } from '../../../src/testing/index.js';
import { type At, Hostile } from './hostile.js';

const fence = 'fence';

/** A store that is a namespace, and one that has an etcd of its own: whatever is done to both has to give the same. */
export class Twin {
  readonly #inside: Store;
  readonly #own: Store;
  readonly #hostile: Hostile;
  /** Which revision of ours is which of the other: that of every write, in order; without one 0. */
  readonly #revisions = new Map<bigint, bigint>([[0n, 0n]]);
  #writes: [inside: bigint, own: bigint][] = [[0n, 0n]];
  #watches: Both<Seen>[] = [];
  #reached: bigint | undefined;
  /** The last things that were done, for whoever has to find out why they were not the same. */
  readonly #done: string[] = [];

  constructor(inside: Store, own: Store, hostile: Hostile) {
    this.#inside = inside;
    this.#own = own;
    this.#hostile = hostile;
  }

  /** Does something random. */
  async step(): Promise<void> {
    const kind = this.#hostile.below(100);
    if (kind < 30) await this.#read();
    else if (kind < 93) await this.#commit();
    else if (kind < 97) await this.#lease();
    else await this.#watch();
  }

  /** Checks that both have the same, and that all watches of both were told the same. */
  async check(): Promise<void> {
    await this.#compare('everything', (store) => store.read({ key: '\0', end: '\0' }));
    await this.#catchUp();
    for (const watches of this.#watches) await this.#agree(watches);
  }

  /** Forgets the revisions of before, which etcd is about to forget too. */
  forget(): void {
    this.#writes = [[0n, 0n]];
    this.#hostile.writes = 0;
  }

  /** Ends all watches, after the last event that they can have been told. */
  async end(): Promise<void> {
    await this.check();
    for (const { inside, own } of this.#watches.splice(0)) {
      inside.watch?.close();
      own.watch?.close();
    }
  }

  /** Waits until etcd has seen to all watches that began in the past: it does so for all of them at once, every 100 ms. */
  async #catchUp(): Promise<void> {
    await this.#fence();
    const [inside, own] = this.#writes.at(-1) as [bigint, bigint];
    const sides = [
      [this.#inside, inside],
      [this.#own, own],
    ] as const;
    await Promise.all(sides.map(([store, from]) => toldFrom(store, fence, from)));
  }

  /** A write of which both revisions are known. */
  #fence(): Promise<void> {
    return this.#compare(fence, (store) =>
      store.commit({ success: [{ put: { key: fence, value: '' } }] }),
    );
  }

  async #read(): Promise<void> {
    const range = this.#hostile.range();
    const serializable = this.#hostile.chance(0.2);
    await this.#compare(['read', range], (store, side) =>
      store.read(this.#put(range, side) as never, { serializable }),
    );
  }

  async #commit(): Promise<void> {
    const txn = this.#hostile.txn();
    // What is applied once is sent without a branch that cannot run, and so is not refused for it.
    const isWhole = Boolean(txn.compare?.length) || !txn.failure?.length;
    const options = { exactlyOnce: isWhole && this.#hostile.chance(0.3) };
    await this.#compare(['commit', txn], (store, side) =>
      store.commit(this.#put(txn, side) as never, options),
    );
  }

  async #lease(): Promise<void> {
    const lease = this.#hostile.lease();
    const verb = this.#hostile.oneOf(['grant', 'grant', 'keepAlive', 'revoke'] as const);
    await this.#compare([verb, lease], (store) =>
      verb === 'grant' ? store.grant(lease, 600_000) : Promise.resolve(store[verb](lease)),
    );
    // What went with it has a revision that no reply tells: the next read would be taken for that write, and inside it may be later.
    if (verb === 'revoke') await this.#fence();
  }

  async #watch(): Promise<void> {
    const [range, options] = [this.#hostile.keys(), this.#hostile.watchOptions()];
    // One without a beginning may tell of what came shortly before it too, where it shares another.
    const open = async (store: Store, side: Side): Promise<Seen> => {
      const { revision } = await store.read({ key: 'any' });
      const after = options.from === undefined ? revision : 0n;
      return new Seen(store, after, range, this.#put(options, side) as never, [
        'watch',
        range,
        options,
      ]);
    };
    const both = {
      inside: await open(this.#inside, 'inside'),
      own: await open(this.#own, 'own'),
    };
    await Promise.all([both.inside.settled, both.own.settled]);
    this.#watches.push(both);
    if (this.#watches.length <= 6) return;
    const ended = this.#watches.splice(this.#hostile.below(6), 1);
    for (const watches of ended) {
      await this.#agree(watches);
      watches.inside.watch?.close();
      watches.own.watch?.close();
    }
  }

  /** Checks that both watches were told the same, once they were told. */
  async #agree({ inside, own }: Both<Seen>): Promise<void> {
    const same = (): boolean => this.#told(inside) === told(own.events, own.error);
    await waitFor(same, { timeout: 5_000 }).catch(() => {});
    const story = this.#story(inside.what);
    expect(`${story}\n${this.#told(inside)}`).toBe(`${story}\n${told(own.events, own.error)}`);
  }

  async #compare(
    what: unknown,
    call: (store: Store, side: Side) => Promise<unknown>,
  ): Promise<void> {
    const [inside, own] = await Promise.all([
      outcome(() => call(this.#inside, 'inside')),
      outcome(() => call(this.#own, 'own')),
    ]);
    this.#learn(inside, own);
    const story = this.#story(what);
    expect(`${story}\n${text(this.#translated(inside))}`).toBe(`${story}\n${text(stripped(own))}`);
  }

  /** A revision that the other has reached by a write is one that ours has reached by the same. */
  #learn(inside: unknown, own: unknown): void {
    const [ours, others] = [inside, own].map((reply) => Object(reply).revision as unknown);
    if (typeof ours !== 'bigint' || typeof others !== 'bigint') return;
    if (this.#reached !== undefined && others > this.#reached) {
      this.#revisions.set(ours, others);
      this.#writes.push([ours, others]);
      this.#hostile.writes = this.#writes.length - 1;
    }
    this.#reached = others;
  }

  #translated(value: unknown): unknown {
    return stripped(value, (revision) => this.#revisions.get(revision) ?? `unknown ${revision}`);
  }

  #told({ events, error }: Seen): string {
    return told(events, error, this.#revisions);
  }

  /** Puts revisions in. */
  #put(request: unknown, side: Side): unknown {
    if (Array.isArray(request)) return request.map((each) => this.#put(each, side));
    if (typeof request !== 'object' || request === null || request instanceof Uint8Array) {
      return request;
    }
    const { write } = request as Partial<At>;
    if (write !== undefined) return this.#writes[write]?.[side === 'inside' ? 0 : 1];
    return Object.fromEntries(
      Object.entries(request).map(([name, part]) => [name, this.#put(part, side)]),
    );
  }

  #story(what: unknown): string {
    this.#done.push(text(what));
    if (this.#done.length > 10) this.#done.shift();
    return this.#done.join('\n');
  }
}

type Side = 'inside' | 'own';

/** The same on both sides. */
type Both<T> = Readonly<Record<Side, T>>;

/** A watch, and what it was told. */
class Seen {
  readonly events: WatchEvent[] = [];
  /** What is watched. */
  readonly what: unknown;
  readonly watch: Watch | undefined;
  /** Settles when it is set, or refused. */
  readonly settled: Promise<unknown>;
  error: unknown;

  constructor(
    store: Store,
    after: bigint,
    ...[range, options, what]: [...Parameters<Watching>, unknown]
  ) {
    this.what = what;
    const listener = {
      events: (events: readonly WatchEvent[]) =>
        this.events.push(...events.filter(({ kv }) => kv.modRevision > after)),
      gap: () => this.events.push({ type: 'gap' } as never),
      closed: (error: Error) => {
        this.error = error.message;
      },
    };
    try {
      this.watch = store.watch(range, listener, options);
    } catch (error) {
      this.error = String(error);
    }
    this.settled = Promise.resolve(this.watch?.ready).catch(() => {});
  }
}

/** Waits for the change of a key at a revision that is past. */
async function toldFrom(store: Store, key: string, from: bigint): Promise<void> {
  const change = deferred<void>();
  const listener = {
    events: () => change.resolve(),
    gap: () => change.reject(new Error(`${key} was compacted`)),
    closed: (error: unknown) => change.reject(error),
  };
  const watch = store.watch({ key }, listener, { from });
  await change.promise.finally(() => watch.close());
}

type Watching = (
  range: Parameters<Store['watch']>[0],
  options: Parameters<Store['watch']>[2],
) => void;

async function outcome(call: () => Promise<unknown>): Promise<unknown> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof CoordinationError)) throw error;
    return { error: error.name, message: error.message };
  }
}

const isPair = (value: object): value is KeyValue => 'modRevision' in value;

/** A reply without the revision of its header, with those of keys translated. */
function stripped(value: unknown, translate = (revision: bigint): unknown => revision): unknown {
  if (Array.isArray(value)) return value.map((each) => stripped(each, translate));
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  if (isPair(value)) {
    const { createRevision, modRevision } = value;
    return {
      ...value,
      createRevision: translate(createRevision),
      modRevision: translate(modRevision),
    };
  }
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== 'revision')
      .map(([name, part]) => [name, stripped(part, translate)]),
  );
}

/** Events as text. Of a deletion only its key and what was before it count; its revision may be that of the end of a lease. */
function told(
  events: readonly WatchEvent[],
  error: unknown,
  revisions?: ReadonlyMap<bigint, bigint>,
): string {
  const translate = (revision: bigint): unknown =>
    revisions ? (revisions.get(revision) ?? `unknown ${revision}`) : revision;
  const lines = events.map(({ type, kv, previous }) =>
    text([
      type,
      type === 'delete' ? kv.key : stripped(kv, translate),
      stripped(previous, translate),
    ]),
  );
  return [...lines, String(error)].join('\n');
}

/** As text, byte by byte. */
function text(value: unknown): string {
  const json = JSON.stringify([value], (_, part: unknown) => {
    if (typeof part === 'bigint') return `${part}n`;
    const { type, data } = Object(part) as { type?: unknown; data?: unknown };
    return type === 'Buffer' && Array.isArray(data) ? Buffer.from(data).toString('latin1') : part;
  });
  return json
    .replaceAll(/(.)\1{20,}/gs, (run) => `${run[0]}*${run.length}`)
    .replaceAll(/[\x7f-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`);
}
