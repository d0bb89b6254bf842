import { type Data, toBytes } from './store/keys.js';
import { wasRefused } from './store/refusals.js';
import type { CallOptions, Operation, Store, TxnReply } from './store/store.js';
import type { Clock } from './time/clock.js';
import { Pending } from './time/pending.js';
import { ending, milliseconds } from './validate.js';
import { WeakValues } from './weak-values.js';

/** What is in a cell, and the revision at which it was written: 0 where there is nothing. */
export interface CellState {
  readonly value: Buffer | undefined;
  readonly revision: bigint;
}

/** What a change comes to. */
export interface Change<Result> {
  readonly result: Result;
  /** What the cell is to have then; without it, what it has. */
  readonly value?: Data;
}

/** What a change came to: the state after it, which later ones may have replaced already. */
export interface Changed<Result> {
  readonly result: Result;
  /** The revision of the state that it led to, or found and left. */
  readonly revision: bigint;
}

/** Milliseconds, where the caller sets no limit. */
const patience = 5_000;
const nothing: CellState = { value: undefined, revision: 0n };

/** A change with its caller. */
interface Draft {
  readonly pending: Pending<unknown>;
  /** Gives what the cell is to have, and what to do once it does. */
  apply(value: Buffer | undefined): {
    readonly value?: Buffer | undefined;
    readonly settle: (revision: bigint) => void;
  };
}

/**
 * One key that many change, each depending on what it is. Changes that wait in this process at the same moment are made one
 * after the other here and written as one, on condition that nobody else wrote meanwhile; if somebody did, they are made
 * again on what he wrote. This is flat combining (Hendler, Incze, Shavit and Tzafrir 2010), over compare and set.
 */
export class Cell {
  static readonly #all = new WeakMap<Store, WeakValues<string, Cell>>();
  readonly #store: Store;
  readonly #key: string;
  readonly #clock: Clock;
  #drafts: Draft[] = [];
  #isBusy = false;
  /** As of the last answer; where that is wrong, the next answer tells. */
  #known: CellState = nothing;

  private constructor(store: Store, key: string, clock: Clock) {
    this.#store = store;
    this.#key = key;
    this.#clock = clock;
  }

  /** The cell shared by all in this process who see the same store. */
  static at(store: Store, key: string, clock: Clock): Cell {
    const all = Cell.#all.get(store) ?? new WeakValues<string, Cell>();
    Cell.#all.set(store, all);
    return all.at(key, () => new Cell(store, key, clock));
  }

  /** @throws UnavailableError if no endpoint answers. */
  async read(options?: CallOptions): Promise<CellState> {
    const { kvs } = await this.#store.read({ key: this.#key }, options);
    return kvs[0] ? { value: kvs[0].value, revision: kvs[0].modRevision } : nothing;
  }

  /**
   * Changes what the cell has. `change` only calculates: it may run more than once. What it throws is thrown here, and
   * nothing is changed.
   *
   * @throws UnavailableError if etcd did not answer in time; `outcome` says whether the change may have been made.
   * @throws the reason of `options.signal` when it aborts; the change may still be made.
   */
  async change<Result>(
    change: (value: Buffer | undefined) => Change<Result>,
    { signal, timeout = patience, ...options }: CallOptions = {},
  ): Promise<Changed<Result>> {
    ending(signal)?.throwIfAborted();
    const limits = signal ? { ...options, signal } : options;
    const pending = new Pending<Changed<Result>>(
      limits,
      milliseconds('timeout', timeout),
      this.#clock,
    );
    this.#drafts.push({
      pending: pending as Pending<unknown>,
      apply: (before) => {
        try {
          const { result, value } = change(before);
          return {
            value: value === undefined ? value : toBytes(value),
            settle: (revision) => pending.resolve({ result, revision }),
          };
        } catch (error) {
          return { settle: () => pending.reject(error) };
        }
      },
    });
    void this.#work();
    return pending.reply;
  }

  /** Writes all that waits, and what comes meanwhile. */
  async #work(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    // Who comes in the same turn of the event loop comes along.
    await Promise.resolve();
    for (let drafts = this.#take(); drafts.length > 0; drafts = this.#take()) {
      await this.#write(drafts);
    }
    this.#isBusy = false;
  }

  /** Those that wait, with `others` who did before. */
  #take(others: readonly Draft[] = []): Draft[] {
    const drafts = [...others, ...this.#drafts].filter(({ pending }) => !pending.isOver);
    this.#drafts = [];
    return drafts;
  }

  async #write(first: Draft[]): Promise<void> {
    for (let drafts = first; drafts.length > 0; drafts = this.#take(drafts)) {
      const before = this.#known;
      const [value, settle] = applyAll(drafts, before.value);
      for (const { pending } of drafts) pending.sent = true;
      const timeout = Math.max(...drafts.map(({ pending }) => pending.left));
      let reply: TxnReply;
      try {
        reply = await this.#commit(before.revision, value, timeout);
      } catch (error) {
        this.#known = nothing;
        await this.#failed(drafts, error);
        return;
      }
      if (reply.succeeded) {
        if (value !== undefined) this.#known = { value, revision: reply.revision };
        for (const each of settle) each(this.#known.revision);
        return;
      }
      const [kv] = reply.replies[0]?.kvs ?? [];
      this.#known = kv ? { value: kv.value, revision: kv.modRevision } : nothing;
      for (const { pending } of drafts) pending.sent = false;
    }
  }

  /** What was refused together may be the fault of one. */
  async #failed(drafts: readonly Draft[], error: unknown): Promise<void> {
    if (wasRefused(error) && drafts.length > 1) {
      for (const draft of drafts) await this.#write([draft]);
    } else {
      for (const { pending } of drafts) pending.reject(error);
    }
  }

  #commit(revision: bigint, value: Buffer | undefined, timeout: number): Promise<TxnReply> {
    const key = this.#key;
    const success: Operation[] = value === undefined ? [] : [{ put: { key, value } }];
    return this.#store.commit(
      {
        compare: [{ key, target: 'mod', to: revision }],
        success,
        failure: [{ range: { key } }],
      },
      { exactlyOnce: true, timeout },
    );
  }
}

/** Makes all changes, one on the other: gives what is to be written, if anything, and what to do then. */
function applyAll(
  drafts: readonly Draft[],
  before: Buffer | undefined,
): [value: Buffer | undefined, settle: ((revision: bigint) => void)[]] {
  let now = before;
  let written: Buffer | undefined;
  const settle = drafts.map((draft) => {
    const { value, settle: each } = draft.apply(now);
    if (value !== undefined) now = written = value;
    return each;
  });
  return [written, settle];
}
