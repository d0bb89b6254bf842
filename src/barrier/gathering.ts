import { contend } from '../core/line/contend.js';
import { type Presence, presenceIn, ticketOf } from '../core/line/ticket.js';
import type { Session } from '../core/session/session.js';
import {
  type BreakReason,
  BrokenBarrierError,
  ClosedError,
  ConflictError,
  HoldLostError,
  SessionLostError,
  WaitTimeoutError,
} from '../core/store/errors.js';
import { folderOf, type KeyRange, prefixRange } from '../core/store/keys.js';
import type { CallOptions, Compare, KeyValue } from '../core/store/store.js';
import { persist } from '../core/time/persist.js';
import { type WaitOptions, waitScope } from '../core/time/signals.js';
import { traced } from '../core/trace.js';
import { wholeFrom } from '../core/validate.js';
import { until } from '../core/watch/until.js';
import { Party } from './party.js';
import { commitTurn, isOver, Round, type RoundRecord, type RoundState } from './round.js';
import { RoundWatch } from './round-watch.js';

/** What gathers. */
export interface GatheringSpec {
  readonly recipe: string;
  readonly verb: string;
  readonly name: string;
  /** How many go on together. */
  readonly count: number;
  /** Whether a round breaks when somebody leaves it before it trips; if not, the others wait for somebody else. */
  readonly breaks: boolean;
}

/** A round that tripped, with us in it. */
export interface Gathered {
  readonly party: Party;
  /** All who go on, in the order of arrival: the create revisions of their keys. */
  readonly tokens: readonly bigint[];
}

/** A barrier as others see it. */
export interface GatheringState {
  /** Of the round that is open, from 1 on; `undefined` if nobody has used it. */
  readonly generation: number | undefined;
  /** How many it waits for. */
  readonly count: number | undefined;
  /** Who waits in it, in the order of arrival. */
  readonly waiting: readonly Presence[];
  /** Who is in an earlier one still. */
  readonly inside: readonly Presence[];
}

/**
 * Parties that go on together when so many are there, time and again.
 *
 * Each puts a key into the open round, and learns in the same transaction who is there. Whoever finds that these are enough
 * trips the round: all were there at that revision. To trip a round, and to break it, is to replace what its one key has on
 * condition that it is open. So one of them happens, once, and everybody learns of it.
 */
export class Gathering {
  readonly #session: Session;
  readonly #spec: GatheringSpec;
  readonly #folder: string;
  readonly #range: KeyRange;
  /** The round that is open, as far as we know. */
  #present: Round | undefined;

  /** @throws ArgumentError if the name is empty, or the count not a whole number from 1. */
  constructor(session: Session, spec: GatheringSpec) {
    wholeFrom(1, 'count', spec.count);
    this.#session = session;
    this.#spec = spec;
    this.#folder = folderOf(spec.recipe, spec.name);
    this.#range = prefixRange(this.#folder);
  }

  /** What errors call it. */
  get what(): string {
    return `${this.#spec.recipe} ${this.#spec.name}`;
  }

  /** Waits until enough are there, of whom we are one. The key is to be given up by the caller then. */
  async gather(wait: WaitOptions): Promise<Gathered> {
    const session = this.#session;
    const { store, owner, closing, clock } = session;
    const scope = waitScope(wait, closing, clock, this.what);
    try {
      for (;;) {
        scope.signal.throwIfAborted();
        const round = (this.#present ??= await this.#open(scope.signal));
        const gathered = await contend(
          session,
          this.what,
          scope,
          (lease) => new Party(lease, store, round, ticketOf(owner)),
          (party, signal) => this.#takePart(party, signal),
          (party, error) => void this.#giveUp(party, error),
        );
        if (gathered) return gathered;
        if (this.#present.generation === round.generation) await this.#look(round, scope.signal);
      }
    } finally {
      scope.dispose();
    }
  }

  /** Waits until all of them have left. */
  async dispersed({ party, tokens }: Gathered, wait: WaitOptions): Promise<void> {
    const inside = new Set(tokens);
    const isEmpty = (keys: readonly KeyValue[]): true | undefined =>
      !keys.some(({ createRevision }) => inside.has(createRevision)) || undefined;
    const { recipe, name } = this.#spec;
    const range = prefixRange(party.round.parties);
    await until(this.#session, { recipe, verb: 'leave', name, range }, isEmpty, wait);
  }

  /** @throws UnavailableError if no endpoint answers. */
  async inspect(options: CallOptions): Promise<GatheringState> {
    const { kvs } = await this.#session.store.read(this.#range, options);
    const last = kvs.at(-1);
    const round = last && Round.of(this.#folder, this.#spec.count, last.key);
    const { record, parties = [] } = round?.stateIn(kvs) ?? {};
    const others = kvs.filter((kv) => kv.lease > 0n && !parties.includes(kv));
    return {
      generation: round?.generation,
      count: record?.count,
      waiting: inOrder(parties),
      inside: inOrder(others),
    };
  }

  /** Gives nothing where the round is for others: there will be another. */
  async #takePart(party: Party, signal: AbortSignal): Promise<Gathered | undefined> {
    const state = await party.join(this.#spec.breaks, signal);
    return state && this.#wait(party, state, signal);
  }

  /** Finds the round that is open after one that did not take us. */
  async #look(round: Round, signal: AbortSignal): Promise<void> {
    this.#present = await this.#open(signal);
    // It is full, and about to trip.
    if (this.#present.generation === round.generation) await this.#ending(round, signal);
  }

  async #wait(
    party: Party,
    { parties, joined }: RoundState,
    signal: AbortSignal,
  ): Promise<Gathered | undefined> {
    const { round } = party;
    if (parties.length >= round.count) await party.trip(parties, signal);
    const { tripped = [], broken } = (await this.#ending(round, signal, party)) ?? {};
    this.#present = round.next;
    const tokens = tripped.map(BigInt);
    if (tokens.includes(party.token)) return { party, tokens };
    // Who came when a party had left already is not concerned.
    if (broken && joined <= parties.length) {
      throw new BrokenBarrierError(this.what, round.generation, broken.reason, broken.owner);
    }
    party.withdraw();
    return undefined;
  }

  /** Waits until a round is over. Gives and throws as `RoundWatch.ending`. */
  async #ending(
    round: Round,
    signal: AbortSignal,
    party?: Party,
  ): Promise<RoundRecord | undefined> {
    const { recipe, verb, name, breaks } = this.#spec;
    const watch = new RoundWatch(this.#session, round, breaks, party);
    try {
      return await traced(
        'wait',
        () => ({ recipe, verb, name }),
        () => watch.ending(signal),
      );
    } finally {
      watch.close();
    }
  }

  /** Breaks the round of a party that goes, if a round does, and gives its key up: in the background. */
  async #giveUp(party: Party, error: unknown): Promise<void> {
    const { store, owner } = this.#session;
    try {
      if (!this.#spec.breaks || error instanceof BrokenBarrierError) return;
      const isIn: Compare = { key: party.key, target: 'create', is: '>', to: 0n };
      const end = party.round.end({ broken: { reason: reasonOf(error), owner } }, [isIn]);
      await store.commit(end);
    } catch {
      // Others will see that the key is gone.
    } finally {
      party.withdraw();
    }
  }

  /** The round that is open, after opening one if there is none. */
  async #open(signal: AbortSignal): Promise<Round> {
    const { store, clock } = this.#session;
    const { count } = this.#spec;
    // Of all keys of a round, the one that says what became of it is the last.
    const last = { ...this.#range, sortBy: 'key', order: 'descending', limit: 1 } as const;
    for (;;) {
      const { kvs } = await persist((limit) => store.read(last, limit), signal, clock);
      const round = kvs[0] && Round.of(this.#folder, count, kvs[0].key);
      const { record } = round?.stateIn(kvs) ?? {};
      if (round && record && !isOver(record)) {
        if (record.count === count) return round;
        throw new ConflictError(`${this.what} waits for ${record.count} parties, not ${count}`);
      }
      const { opening } = round?.next ?? new Round(this.#folder, count, 1);
      await commitTurn(this.#session, opening, signal);
    }
  }
}

function reasonOf(error: unknown): BreakReason {
  if (error instanceof WaitTimeoutError) return 'timeout';
  const isLost = [HoldLostError, SessionLostError, ClosedError].some(
    (each) => error instanceof each,
  );
  return isLost ? 'lost' : 'aborted';
}

function inOrder(parties: readonly KeyValue[]): Presence[] {
  return parties
    .toSorted((a, b) => Number(a.createRevision - b.createRevision))
    .map(({ value }) => presenceIn(value));
}
