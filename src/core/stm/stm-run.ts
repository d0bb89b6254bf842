import { AsyncLocalStorage } from 'node:async_hooks';
import { ArgumentError } from '../store/errors.js';
import type { KeyRange } from '../store/keys.js';
import type { CallOptions, CommitOptions, Store } from '../store/store.js';
import { Backoff } from '../time/backoff.js';
import type { Clock } from '../time/clock.js';
import { abortable } from '../time/signals.js';
import { checkTxn } from '../txn/check-txn.js';
import type { Level } from './stm-options.js';
import { type Known, Reads } from './stm-reads.js';
import type { Turn, Turns } from './stm-turns.js';
import { type StmLife, StmTx } from './stm-tx.js';
import { type Pair, Writes } from './stm-writes.js';

/** What is run as a transaction. It may run several times: it should have no effect but through `tx`. */
export type StmFunction<T> = (tx: StmTx) => T | Promise<T>;

/** What all transactions of a client have in common. */
export interface StmContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly turns: Turns;
  /** How many operations a transaction may have. */
  readonly maxOps: number;
}

/** How one transaction is run. */
export interface StmCall {
  readonly level: Level;
  /** Ends all waiting. */
  readonly signal: AbortSignal;
  /** Limits of a read. */
  readonly read: () => CallOptions;
  /** Limits of the commit, so that it is told apart whether it may have been applied. */
  readonly commit: () => CommitOptions;
  readonly prefetch: readonly KeyRange[];
}

/** Milliseconds to wait for a turn: whoever has it may be waiting for us by ways that cannot be seen from here. */
const patience = 1_000;

/** Tells what is called from within the function of another. */
const running = new AsyncLocalStorage<StmLife>();

/** One transaction, from the first time its function runs to the last. */
export class StmRun<T> {
  readonly #context: StmContext;
  readonly #call: StmCall;
  readonly #fn: StmFunction<T>;
  readonly #pause = new Backoff(5, 500);
  /** What is known already of what will be read. */
  #known: Known | undefined;
  /** What will be read, most likely. */
  #expected: readonly KeyRange[];
  /** The keys over which there was a conflict. */
  #ids: readonly string[] = [];
  #turn: Turn | undefined;
  #conflicts = 0;

  /** @throws ArgumentError if called within the function of another. */
  constructor(context: StmContext, call: StmCall, fn: StmFunction<T>) {
    if (running.getStore()?.hasEnded === false) {
      throw new ArgumentError('stm', 'called outside of the function of another stm', fn);
    }
    this.#context = context;
    this.#call = call;
    this.#fn = fn;
    this.#expected = call.prefetch;
  }

  /** Runs the function and commits; `undefined` if there was a conflict. */
  async attempt(): Promise<{ readonly value: T } | undefined> {
    const { level, signal, read: limits } = this.#call;
    const before = (ids: readonly string[]): Promise<Known | undefined> => this.#yieldTo(ids);
    const { store, maxOps } = this.#context;
    const known = this.#known;
    this.#known = undefined;
    const reads = new Reads({ store, level, limits, maxOps, before }, known);
    const writes = new Writes();
    try {
      signal.throwIfAborted();
      if (!known) await reads.prefetch(this.#expected);
      const value = await this.#work(reads, writes);
      if (!reads.outdated && (await this.#commit(reads, writes))) return { value };
    } catch (error) {
      if (signal.aborted || !reads.outdated) throw error;
    }
    this.#ids = [...reads.seen().keys(), ...writes.ids()];
    this.#expected = reads.ranges();
    return undefined;
  }

  /** Gets ready to try again: in line with others of this process, and after a pause if that did not help. */
  async settle(): Promise<void> {
    this.#conflicts += 1;
    const { clock, turns } = this.#context;
    if (!this.#turn?.covers(this.#ids)) {
      this.leave();
      if (turns.isBusy(this.#ids)) {
        this.#known = await this.#takeTurn(this.#ids);
        return;
      }
      this.#turn = turns.join(this.#ids);
    }
    // What the failed commit read is as new as can be; only whoever conflicts again may be one of many.
    if (this.#conflicts === 1) return;
    await clock.sleep(this.#pause.next(), this.#call.signal);
    this.#known = undefined;
  }

  /** Lets others have their turn, and hands on what is known. */
  leave(known?: Known): void {
    this.#turn?.leave(known);
    this.#turn = undefined;
  }

  async #work(reads: Reads, writes: Writes): Promise<T> {
    const life: StmLife = { hasEnded: false };
    const tx = new StmTx(reads, writes, life);
    try {
      const work = running.run(life, async () => this.#fn(tx));
      return await abortable(work, this.#call.signal);
    } finally {
      life.hasEnded = true;
      reads.freeze();
    }
  }

  async #commit(reads: Reads, writes: Writes): Promise<boolean> {
    const { level, commit } = this.#call;
    if (writes.isEmpty && !(level.guardsReads && reads.mixed)) return true;
    const { store, maxOps } = this.#context;
    const { revision } = reads;
    const compare = reads.guards();
    if (level.guardsWrites && revision !== undefined) {
      compare.push(...writes.guards(revision, reads.seen()));
    }
    const failure = compare.length > 0 ? reads.again() : [];
    const txn = { compare, success: writes.operations(), failure };
    checkTxn(txn, maxOps);
    this.#turn?.prepare();
    const reply = await store.commit(txn, { ...commit(), exactlyOnce: true });
    if (reply.succeeded) this.leave(this.#after(reads, writes, reply.revision));
    else this.#known = reads.knownBy(reply);
    return reply.succeeded;
  }

  /** What is known after a commit: what was read has not changed until then, and what was written is there now. */
  #after(reads: Reads, writes: Writes, revision: bigint): Known | undefined {
    if (!this.#turn || !this.#call.level.guardsReads) return undefined;
    const pairs = new Map<string, readonly Pair[]>();
    for (const id of [...reads.seen().keys(), ...writes.ids()]) {
      const seen = reads.seen().get(id);
      const key = Buffer.from(id, 'latin1');
      pairs.set(id, writes.over({ key }, seen?.value ? [seen] : [], revision));
    }
    return { revision, pairs };
  }

  /** Before the first read of keys for which others of this process are in line, joins it. */
  async #yieldTo(ids: readonly string[]): Promise<Known | undefined> {
    const { turns } = this.#context;
    if (this.#turn || !this.#call.level.guardsReads || !turns.isBusy(ids)) return undefined;
    return this.#takeTurn(ids);
  }

  async #takeTurn(ids: readonly string[]): Promise<Known | undefined> {
    const turn = this.#context.turns.join(ids);
    this.#turn = turn;
    const stop = this.#context.clock.after(patience, () => turn.skip());
    try {
      await abortable(turn.granted, this.#call.signal);
      return turn.known;
    } finally {
      stop();
    }
  }
}
