import { randomUUID } from 'node:crypto';
import type { Observed } from '../core/events/emitter.js';
import { type ForcedRelease, Intervention } from '../core/line/intervention.js';
import { entryOf, pairsIn } from '../core/line/line.js';
import { Recipe } from '../core/line/recipe.js';
import { fieldsIn } from '../core/line/ticket.js';
import type { Session } from '../core/session/session.js';
import { ArgumentError, ClosedError, ConflictError } from '../core/store/errors.js';
import type { CallOptions, KeyValue, TxnReply } from '../core/store/store.js';
import { persist } from '../core/time/persist.js';
import { type WaitOptions, waitScope } from '../core/time/signals.js';
import { type Assignment, assignmentIn, encodeAssignment } from './assignment.js';
import { entriesOf } from './member.js';
import { PartitionKeys } from './partition-keys.js';
import { PartitionRun } from './partition-run.js';
import {
  checkPartitioner,
  checkShards,
  checkShareholder,
  type PartitionerEvents,
  type PartitionerOptions,
  type PartitionerState,
  type PartitionOptions,
  type ShardEntry,
  type ShardHandler,
  type ShardState,
} from './partitioner-options.js';

/** Divides shards between processes, each owned by one at a time: evenly, and moving no more of them than it must. */
export class Partitioner extends Recipe<PartitionerEvents> implements AsyncDisposable {
  readonly #options: Required<PartitionerOptions>;
  readonly #keys: PartitionKeys;
  readonly #intervention: Intervention;
  readonly #closed = new AbortController();
  readonly #runs = new Set<Promise<void>>();

  /** @throws ArgumentError if the name is empty or an option is not usable. */
  constructor(session: Session, name: string, options: PartitionerOptions) {
    super(session, name);
    this.#options = checkPartitioner(options);
    this.#keys = new PartitionKeys(name);
    this.#intervention = new Intervention(session, { recipe: 'partitioner', name });
  }

  /**
   * Takes part, and calls `handler` for each shard that is ours, until `close`, which it resolves with, or until `options.signal`
   * aborts: it settles when all handlers have ended. Goes on through outages and losses of the session. `Session.close` waits for it.
   *
   * @throws ArgumentError if the handler or an option is not usable.
   * @throws ConflictError if others decided on another number of shards, also later.
   * @throws RefusedError if etcd does not let us read or write what is needed.
   * @throws the reason of `options.signal`; ClosedError after `close`, or if the session is closed.
   */
  run(handler: ShardHandler, options: PartitionOptions = {}): Promise<void> {
    const run = this.session.track(this.#run(handler, options));
    this.#runs.add(run);
    const ended = (): boolean => this.#runs.delete(run);
    run.then(ended, ended);
    return run;
  }

  /** Has `run` end: all handlers are to end, and what they have ended goes to others at once. Waits for that. */
  async close(): Promise<void> {
    this.#closed.abort(new ClosedError(`partitioner ${this.name}`));
    await Promise.allSettled(this.#runs);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Who is to own which shard, as was decided last; `undefined` before anybody has used the name. @throws UnavailableError */
  async assignment(options: CallOptions = {}): Promise<Assignment | undefined> {
    const { kvs } = await this.session.store.read({ key: this.#keys.assignment }, options);
    return decided(kvs[0]);
  }

  /** Who takes part, and who owns which shard, with tokens, as of one revision. @throws the reason of `wait.signal`, WaitTimeoutError. */
  async inspect(wait: WaitOptions = {}): Promise<PartitionerState> {
    const { range } = this.#keys;
    const kvs = await pairsIn(this.session, range, `partitioner ${this.name}`, wait);
    const entries = entriesOf(kvs);
    const { shards = 0, owners = [] } = this.#keys.assignmentIn(entries) ?? {};
    const lines = new Map<number, ShardEntry[]>();
    for (const kv of kvs) {
      const shard = this.#keys.shardOf(kv.key.toString());
      if (shard !== undefined) lines.set(shard, [...(lines.get(shard) ?? []), entryIn(kv)]);
    }
    const stateOf = (shard: number): ShardState => {
      const [owner, ...waiting] = lines.get(shard) ?? [];
      return { shard, assigned: owners[shard], owner, waiting };
    };
    return {
      members: this.#keys.membersIn(entries),
      shards: Array.from({ length: shards }, (_, shard) => stateOf(shard)),
    };
  }

  /**
   * Changes the number of shards. `run` with another number rejects from now on, once its handlers have ended: what they do until
   * then is divided as before, so what counts is to be written through `shard.txn()`. Gives the number of before; `undefined` if there was
   * none, or nothing that could be read.
   *
   * @throws ArgumentError if it is not a whole number from 1 to 10,000.
   * @throws UnavailableError if etcd did not answer in time; `outcome` says whether it may have been changed.
   */
  async resize(shards: number, options: CallOptions = {}): Promise<number | undefined> {
    checkShards(shards);
    const { store } = this.session;
    const key = this.#keys.assignment;
    for (;;) {
      const [kv] = (await store.read({ key }, options)).kvs;
      const before = decided(kv);
      const length = before ? shards : 0;
      const owners = Array.from({ length }, (_, shard) => before?.owners[shard]);
      const compare = [{ key, target: 'mod', to: kv?.modRevision ?? 0n }] as const;
      const success = [{ put: { key, value: encodeAssignment({ shards, owners }) } }];
      const txn = { compare, success };
      const { succeeded } = await store.commit(txn, { ...options, exactlyOnce: true });
      if (succeeded) return before?.shards;
    }
  }

  /** Shards that were taken away from who did not give them back in time, the oldest hold first. They are kept until somebody deletes them. */
  audit(options: CallOptions = {}): Promise<readonly ForcedRelease[]> {
    return this.#intervention.audit(options);
  }

  protected override get observedAs(): Observed {
    return { recipe: 'partitioner', name: this.name };
  }

  async #run(
    handler: ShardHandler,
    { signal, id = randomUUID(), weight = 1 }: PartitionOptions,
  ): Promise<void> {
    if (typeof handler !== 'function') throw new ArgumentError('handler', 'a function', handler);
    checkShareholder(id, weight);
    const { session, name } = this;
    const closed = this.#closed.signal;
    closed.throwIfAborted();
    const outer = waitScope(signal ? { signal } : {}, session.closing, session.clock);
    const stop = waitScope({ signal: closed }, outer.signal, session.clock);
    try {
      stop.signal.throwIfAborted();
      const since = await this.#agree(stop.signal);
      const [keys, intervention, events] = [this.#keys, this.#intervention, this];
      const spec = { session, name, id, weight, handler, keys, intervention, events, since };
      await new PartitionRun({ ...this.#options, ...spec }).run(stop.signal);
    } catch (error) {
      if (error !== closed.reason) throw error;
    } finally {
      stop.dispose();
      outer.dispose();
    }
  }

  /** Has the number of shards stored; gives a revision at which it was. @throws ConflictError if there is another. */
  async #agree(signal: AbortSignal): Promise<bigint> {
    const { store, clock } = this.session;
    const { shards } = this.#options;
    const key = this.#keys.assignment;
    const put = { key, value: encodeAssignment({ shards, owners: [] }) };
    const txn = {
      compare: [{ key, target: 'create', to: 0n }],
      success: [{ put }],
      failure: [{ range: { key } }],
    } as const;
    const storeIt = (limit: CallOptions): Promise<TxnReply> =>
      store.commit(txn, { ...limit, idempotent: true });
    const { succeeded, revision, replies } = await persist(storeIt, signal, clock);
    const stored = succeeded ? shards : decided(replies[0]?.kvs[0])?.shards;
    if (stored === shards) return revision;
    throw new ConflictError(`partitioner ${this.name} has ${stored ?? 'no'} shards, not ${shards}`);
  }
}

function decided(kv: KeyValue | undefined): Assignment | undefined {
  return kv && assignmentIn(fieldsIn(kv.value), kv.modRevision);
}

function entryIn(kv: KeyValue): ShardEntry {
  const { member } = fieldsIn(kv.value);
  return { ...entryOf(kv), member: typeof member === 'string' ? member : undefined };
}
