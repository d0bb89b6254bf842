import { inParts } from '../core/in-parts.js';
import { ConflictError } from '../core/store/errors.js';
import { keyAfter } from '../core/store/key-span.js';
import { type Data, prefixEnd } from '../core/store/keys.js';
import type { KeyValue, Txn } from '../core/store/store.js';
import { asSeen, Desk, type Duty, type Tools } from './desk.js';
import type { Keep, Retention } from './queue-options.js';

/** So many keys are looked at in one step; so many are deleted in one transaction. */
const page = 500;
const together = 100;
/** Milliseconds between two steps. */
const pause = 20;
/** Milliseconds between two times that all is gone through, at most. */
const longestRest = 60_000;
/** An age is known to this part of it. */
const precision = 16;

/** A revision that was there at a time of the queue. */
type Sample = readonly [time: number, revision: bigint];

/**
 * Deletes what is too old, or too much, of the jobs in one folder: goes through it step by step, and at times. Age is told by
 * revisions, of which it is written down when they were there; and so is order. 32 bytes of memory for each job that is kept.
 */
export class Sweeper implements Duty {
  /** Where the samples are written. */
  readonly folder: string;
  readonly #tools: Tools;
  readonly #desk: Desk;
  readonly #swept: string;
  readonly #retentions: () => readonly Retention[];
  readonly #what: keyof Retention;
  #samples: Sample[] = [];
  /** Where to go on; `undefined` between two times that all is gone through. */
  #cursor: Data | undefined;
  /** When each of those was changed that were seen, and are kept. */
  #kept: bigint[] = [];
  /** What was changed up to this revision is more than is to be kept. */
  #surplus = 0n;
  /** When to take the next step, by the time of the queue. */
  #next = Number.NEGATIVE_INFINITY;

  /** @param retentions - what is to be kept now, as everybody here says: what one of them wants to be kept is */
  constructor(tools: Tools, what: keyof Retention, retentions: () => readonly Retention[]) {
    this.#tools = tools;
    this.#desk = new Desk(tools);
    this.#retentions = retentions;
    this.#what = what;
    this.#swept = tools.keys[what];
    this.folder = tools.keys.ages + what;
  }

  put(_key: string, { value }: KeyValue): void {
    const samples = JSON.parse(value.toString()) as [number, string][];
    if (!Array.isArray(samples)) throw new ConflictError(`${this.folder} has no samples`);
    this.#samples = samples.map(([time, revision]) => [time, BigInt(revision)]);
  }

  delete(): void {
    this.#samples = [];
  }

  left(): number {
    const { age, count } = this.#keep;
    // From here on more may be kept, and not less.
    if (age === Infinity && count === Infinity) return Infinity;
    return this.#next - this.#tools.time.now();
  }

  async work(): Promise<void> {
    const key = this.#cursor ?? this.#swept;
    const range = { key, end: prefixEnd(this.#swept), limit: page, keysOnly: true };
    const { replies, revision } = await this.#desk.read([range]);
    if (this.#cursor === undefined) await this.#sample(revision);
    const { kvs = [], count = 0 } = replies[0] ?? {};
    const limit = this.#limit();
    await this.#delete(kvs.filter(({ modRevision }) => modRevision <= limit));
    for (const { modRevision } of kvs) if (modRevision > limit) this.#kept.push(modRevision);
    const last = kvs.at(-1);
    const isMore = last !== undefined && kvs.length < count;
    this.#cursor = isMore ? keyAfter(last.key) : undefined;
    const rest = isMore || this.#isSurplus() ? pause : this.#rest;
    this.#next = this.#tools.time.now() + rest;
  }

  get #keep(): Required<Keep> {
    const keeps = this.#retentions().map((retention) => retention[this.#what]);
    // Of whoever has just left, all is kept.
    if (keeps.length === 0) keeps.push({});
    return {
      age: Math.max(...keeps.map((keep) => keep?.age ?? Infinity)),
      count: Math.max(...keeps.map((keep) => keep?.count ?? Infinity)),
    };
  }

  /** Milliseconds between two times, or two samples. */
  get #rest(): number {
    return Math.min(longestRest, Math.max(1_000, this.#keep.age / precision));
  }

  /** Whether those that were seen are more than are to be kept. */
  #isSurplus(): boolean {
    const kept = this.#kept;
    const { count } = this.#keep;
    this.#kept = [];
    if (kept.length <= count) return false;
    kept.sort((a, b) => (a < b ? -1 : 1));
    this.#surplus = kept[kept.length - count - 1] ?? 0n;
    return true;
  }

  /** What was changed up to this revision is to go. */
  #limit(): bigint {
    const { age } = this.#keep;
    const until = this.#tools.time.now() - age;
    const [, old] = this.#samples.findLast(([time]) => time <= until) ?? [0, 0n];
    return old > this.#surplus ? old : this.#surplus;
  }

  /** Writes down that a revision was there now. */
  async #sample(revision: bigint): Promise<void> {
    const { age } = this.#keep;
    if (age === Infinity) return;
    const { time } = this.#tools;
    const now = time.now();
    if (now - (this.#samples.at(-1)?.[0] ?? Number.NEGATIVE_INFINITY) < age / precision) return;
    // The last that is old enough stands for all before.
    const first = this.#samples.findLastIndex(([at]) => at <= now - age);
    this.#samples = [...this.#samples.slice(Math.max(0, first)), [now, revision]];
    const value = JSON.stringify(this.#samples.map(([at, old]) => [at, String(old)]));
    await this.#desk.write([{ success: [{ put: { key: this.folder, value } }] }, time.written()]);
  }

  async #delete(kvs: readonly KeyValue[]): Promise<void> {
    const steps = kvs.map((kv): Txn => {
      const key = kv.key.toString();
      const compare = [asSeen({ key, modified: kv.modRevision })];
      return { compare, success: [{ delete: { key } }] };
    });
    for (const some of inParts(steps, together)) await this.#desk.write(some);
  }
}
