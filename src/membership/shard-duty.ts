import type { Intervention } from '../core/line/intervention.js';
import { entriesIn, Line, type LineEntry } from '../core/line/line.js';
import { ticketOf } from '../core/line/ticket.js';
import type { Session } from '../core/session/session.js';
import { ClosedError, HoldLostError, isLoss } from '../core/store/errors.js';
import { prefixRange } from '../core/store/keys.js';
import type { CallOptions, Compare, RangeReply } from '../core/store/store.js';
import { Backoff } from '../core/time/backoff.js';
import { persist } from '../core/time/persist.js';
import { onAbort } from '../core/time/signals.js';
import { entriesOf } from './member.js';
import type { PartitionKeys } from './partition-keys.js';
import type { Partitioner } from './partitioner.js';
import type { ShardEvent, ShardHandler } from './partitioner-options.js';
import { ShardHold } from './shard-hold.js';

/** A handler that ran for so many milliseconds before it threw, or released its shard, is called again as if it had not before. */
const soundness = 60_000;

/** What all shards of a member have in common. */
export interface DutySpec {
  readonly session: Session;
  readonly keys: PartitionKeys;
  readonly name: string;
  /** The ID of the member. */
  readonly id: string;
  readonly drainWithin: number;
  readonly handler: ShardHandler;
  readonly intervention: Intervention;
  readonly events: Pick<Partitioner, 'emit'>;
}

/** A shard that is to be ours: it is waited for, held and worked on until `end`, and again after a loss. */
export class ShardDuty {
  /** Resolves when the handler has ended, and the shard was given back. */
  readonly done: Promise<void>;
  readonly #spec: DutySpec;
  readonly #shard: number;
  readonly #end = new AbortController();
  /** The token with which it was told to be ours. */
  #acquired: bigint | undefined;

  constructor(spec: DutySpec, shard: number) {
    this.#spec = spec;
    this.#shard = shard;
    this.done = this.#run();
  }

  /** It is for somebody else. */
  end(): void {
    this.#end.abort();
  }

  async #run(): Promise<void> {
    const { session, events } = this.#spec;
    const { clock } = session;
    const { signal } = this.#end;
    const pause = new Backoff(100, 5_000);
    while (!signal.aborted) {
      try {
        const hold = await this.#enter(signal);
        // In the moment in which it became ours.
        if (hold.lost) continue;
        const began = clock.now();
        await this.#serve(hold);
        if (hold.lost || clock.now() - began >= soundness) pause.reset();
        // Its handler does not want it, or may not know what it does.
        else await clock.sleep(pause.next(), signal);
      } catch (error) {
        if (signal.aborted || error instanceof ClosedError) return;
        if (!isLoss(error)) events.emit('error', error);
        await clock.sleep(pause.next(), signal).catch(() => {});
      }
    }
  }

  /** Waits until it is ours. */
  async #enter(signal: AbortSignal): Promise<ShardHold> {
    const { session, keys, name, id, events } = this.#spec;
    const shard = this.#shard;
    const folder = keys.lineOf(shard);
    const line = new Line(session, {
      recipe: 'partitioner',
      verb: 'own',
      name,
      lanes: [{ folder, rivals: prefixRange(folder) }],
      value: ticketOf(session.owner, { member: id }),
      holdOf: (store, grant) => new ShardHold(store, grant, shard),
    });
    const waiting = new AbortController();
    const stopListening = onAbort(signal, () => waiting.abort());
    try {
      const hold = await line.enter(
        { signal },
        (token) => void this.#takeAway(token, waiting.signal),
        ({ token, lost = 'deleted' }) => {
          if (token === this.#acquired) events.emit('lost', { shard, token, reason: lost });
        },
      );
      return hold as ShardHold;
    } finally {
      stopListening();
      waiting.abort();
    }
  }

  /** Ends the hold of whoever owns it, and does not give it back in time to us, who came at `token`. */
  async #takeAway(token: bigint, signal: AbortSignal): Promise<void> {
    const { session, drainWithin, events } = this.#spec;
    const pause = new Backoff(100, 5_000);
    let known: bigint | undefined;
    while (!signal.aborted) {
      try {
        const owner = await this.#owner(signal);
        const isLate = owner && owner.token < token && owner.token === known;
        known = owner?.token;
        const decision = isLate && (await this.#decision(signal));
        if (decision) await this.#force(owner, decision);
        else await session.clock.sleep(drainWithin, signal);
        pause.reset();
      } catch (error) {
        if (signal.aborted || session.closing.aborted) return;
        events.emit('error', error);
        await session.clock.sleep(pause.next(), signal).catch(() => {});
      }
    }
  }

  async #owner(signal: AbortSignal): Promise<LineEntry | undefined> {
    const { session, keys, name } = this.#spec;
    const line = prefixRange(keys.lineOf(this.#shard));
    return (await entriesIn(session, line, `partitioner ${name}`, { signal }))[0];
  }

  /** Not given up once it is sent: that it took effect is what ends the wait. */
  async #force(owner: LineEntry, decision: Compare): Promise<void> {
    const { drainWithin, intervention, events } = this.#spec;
    const reason = `not given back within ${drainWithin} ms`;
    for (const holder of await intervention.force([owner], reason, {}, [decision])) {
      events.emit('forced', { shard: this.#shard, token: holder.token, holder });
    }
  }

  /** That what was decided last is as it is; `undefined` where that is not for us: then whoever owns it may be who is to. */
  async #decision(signal: AbortSignal): Promise<Compare | undefined> {
    const { session, keys, id } = this.#spec;
    const key = keys.assignment;
    const read = (limit: CallOptions): Promise<RangeReply> => session.store.read({ key }, limit);
    const { kvs } = await persist(read, signal, session.clock);
    const assignment = keys.assignmentIn(entriesOf(kvs));
    if (assignment?.owners[this.#shard] !== id) return undefined;
    return { key, target: 'mod', to: assignment.revision };
  }

  /** Has it worked on while it is ours, and gives it back. */
  async #serve(hold: ShardHold): Promise<void> {
    const { events } = this.#spec;
    const event: ShardEvent = { shard: this.#shard, token: hold.token };
    this.#acquired = hold.token;
    events.emit('acquired', event);
    const stopListening = onAbort(this.#end.signal, () => {
      hold.drain();
      if (!hold.lost) events.emit('draining', event);
    });
    try {
      await this.#work(hold, event);
      // Where the handler has ended before.
      await new Promise<void>((resolve) => onAbort(hold.draining, resolve));
    } finally {
      stopListening();
      await hold.release().finally(() => {
        if (!hold.lost) events.emit('released', event);
      });
    }
  }

  /** Calls the handler, and again whenever it throws before it is to end. */
  async #work(hold: ShardHold, event: ShardEvent): Promise<void> {
    const { session, handler, events } = this.#spec;
    const { clock } = session;
    const pause = new Backoff(100, 30_000);
    while (!hold.draining.aborted) {
      const began = clock.now();
      try {
        await handler(hold);
        return;
      } catch (error) {
        if (isStop(error, hold)) return;
        if (clock.now() - began >= soundness) pause.reset();
        const retryIn = hold.draining.aborted ? undefined : pause.next();
        events.emit('failed', { ...event, error, retryIn });
        if (retryIn !== undefined) await clock.sleep(retryIn, hold.draining).catch(() => {});
      }
    }
  }
}

/** Whether a handler has thrown because it was told to end. */
function isStop(error: unknown, { draining }: ShardHold): boolean {
  if (!draining.aborted) return false;
  return error instanceof HoldLostError || Object(error).name === 'AbortError';
}
