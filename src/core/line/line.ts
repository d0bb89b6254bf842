import type { Lease } from '../session/lease.js';
import type { Session } from '../session/session.js';
import { ConflictError, type LossReason } from '../store/errors.js';
import type { KeyRange } from '../store/keys.js';
import type { KeyValue, Store } from '../store/store.js';
import { persist } from '../time/persist.js';
import { type WaitOptions, waitScope } from '../time/signals.js';
import { tell, traced } from '../trace.js';
import { contend } from './contend.js';
import { Contender } from './contender.js';
import { Departures } from './departures.js';
import type { Grant } from './grant.js';
import { Hold } from './hold.js';
import type { Lane, LineSpec } from './line-spec.js';
import { Neighbours } from './neighbours.js';
import { type Presence, presenceIn, ticketOf } from './ticket.js';
import type { View } from './view.js';

/** Somebody in a line, as others see it. */
export interface LineEntry extends Presence {
  /** The key that is their place. */
  readonly key: string;
  /** Its create revision: who is older comes first. */
  readonly token: bigint;
  /** The lease that keeps them in line. */
  readonly lease: bigint;
}

/**
 * A wait ends with an event, which a member that fell behind may deliver late. So whoever's key was not read
 * within so many milliseconds before has it read right after, and learns at once if it was gone.
 */
const freshness = 1_000;

/**
 * The FIFO line that locks, semaphores and elections are made of. A contender owns a key bound to its
 * session, and is in when its rivals who are older leave room for it. The order is that of create revisions, as
 * in etcd's own `concurrency` package, with which a line may be shared.
 *
 * Joining tells who is ahead; from there a live watch of the line, shared by all who wait in this process,
 * tells who leaves, so that nothing is read when our turn comes. The watch's events are etcd's own
 * history in order: the one that lets us in proves that our key existed when all who were ahead were gone.
 *
 * Several lines can be joined at once. All keys of a contender have one create revision, so whoever is before another in one
 * line is so in all that they share, and nobody waits for somebody who waits for him.
 */
export class Line {
  readonly #session: Session;
  readonly #spec: LineSpec;
  readonly #lanes: readonly Joined[];

  constructor(session: Session, spec: LineSpec) {
    this.#session = session;
    this.#spec = spec;
    this.#lanes = spec.lanes.map((lane) => ({
      lane,
      neighbours: new Neighbours(session.store, lane.rivals),
    }));
  }

  /**
   * Joins the line and waits to be let in. Calls `onWaiting` once if it is not our turn at once.
   *
   * @throws WaitTimeoutError, or the reason of `wait.signal`: our place in the line is given up.
   * @throws HoldLostError if somebody deleted our place; SessionLostError, ClosedError if the session ended.
   */
  enter(
    wait: WaitOptions,
    onWaiting: (token: bigint) => void,
    onLost: (hold: Hold) => void,
  ): Promise<Hold> {
    const { recipe, verb, name } = this.#spec;
    const attempt = (): Promise<Hold> =>
      this.#contend(wait, async (contender, signal) => {
        let views = (await contender.join(signal)) ?? (await this.#look(contender, signal));
        if (!views.every((view) => view.lets(contender.weight))) {
          for (const view of views) this.#checkSize(contender, view);
          onWaiting(contender.token);
          views = await this.#wait(contender, views, signal);
        }
        return this.#hold(contender, views, signal, onLost);
      });
    return traced('wait', () => ({ recipe, verb, name }), attempt);
  }

  /**
   * Joins the line if we are let in at once; writes nothing otherwise.
   *
   * @returns `undefined` if it is not our turn
   */
  async tryEnter(wait: WaitOptions, onLost: (hold: Hold) => void): Promise<Hold | undefined> {
    return this.#contend(wait, async (contender, signal) => {
      const views = await contender.tryJoin(signal);
      return views && this.#hold(contender, views, signal, onLost);
    });
  }

  #contend<T>(
    wait: WaitOptions,
    work: (contender: Contender, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { store, owner } = this.#session;
    const { value = ticketOf(owner) } = this.#spec;
    const make = (lease: Lease): Contender => new Contender(lease, store, this.#spec, value);
    return contend(this.#session, this.#what, wait, make, work, (contender) => {
      this.#forget(contender);
      contender.withdraw();
    });
  }

  /** Waits for all lines at once. */
  async #wait(contender: Contender, joined: readonly View[], signal: AbortSignal): Promise<View[]> {
    const [first, second] = joined.map((view, i) => ({ view, i }));
    if (first && !second) return [await this.#waitIn(contender, first, signal)];
    const stop = new AbortController();
    const scope = waitScope({ signal: stop.signal }, signal, this.#session.clock);
    const wait = (each: Turn): Promise<View> => this.#waitIn(contender, each, scope.signal);
    try {
      await Promise.all(joined.map((view, i) => wait({ view, i })));
      // What let us in where it was our turn early proves nothing of our key there by now.
      return await this.#look(contender, signal);
    } catch (error) {
      stop.abort(error);
      throw error;
    } finally {
      scope.dispose();
    }
  }

  /**
   * Waits until those ahead in one line have left enough room, by the events of a watch that misses none and
   * shows the end of our own key in the same order.
   */
  async #waitIn(
    contender: Contender,
    { view: joined, i }: Turn,
    signal: AbortSignal,
  ): Promise<View> {
    const { lane, neighbours } = this.#lanes[i] as Joined;
    const own = contender.keysIn(lane);
    const [key] = own;
    const { token } = contender;
    const departures = new Departures(this.#session.store, lane, own);
    try {
      let view = joined;
      while (!view.lets(contender.weight)) {
        neighbours.tell(key, { token, view });
        const certain = await departures.until(view, contender.weight, signal);
        if (certain && view.complete) continue;
        const renewed = this.#renew(contender, { view, i }, departures, certain, signal);
        neighbours.tell(key, { token, view: renewed });
        view = await renewed;
        this.#checkSize(contender, view);
      }
      return view;
    } finally {
      departures.close();
    }
  }

  /** What a neighbour knows, if what we do is `certain`; or what is there, which is then for those behind us as well. */
  async #renew(
    contender: Contender,
    { view: before, i }: Turn,
    departures: Departures,
    certain: boolean,
    signal: AbortSignal,
  ): Promise<View> {
    const { neighbours } = this.#lanes[i] as Joined;
    let view = certain ? await neighbours.complete(before, departures.seen, signal) : undefined;
    // While it was on its way more may have changed than who is ahead.
    while (!(view && departures.update(view))) {
      view = (await this.#look(contender, signal))[i] as View;
    }
    return view;
  }

  #look(contender: Contender, signal: AbortSignal): Promise<View[]> {
    const [{ neighbours }] = this.#lanes as [Joined];
    return neighbours.inTurn(contender.token, () => contender.look(signal), signal);
  }

  /** Who wants more than is ever let in would be in the way of all behind. */
  #checkSize({ weight }: Contender, { capacity }: View): void {
    if (weight <= capacity) return;
    throw new ConflictError(`${this.#what} has ${capacity} permits, fewer than ${weight}`);
  }

  #hold(
    contender: Contender,
    views: readonly View[],
    signal: AbortSignal,
    onLost: (hold: Hold) => void,
  ): Hold {
    const { lease, seenAt } = contender;
    // After the event loop stood still, the answer may be read before the timers run that would have ended the wait.
    if (signal !== lease.signal) lease.signal.throwIfAborted();
    signal.throwIfAborted();
    for (const [i, { lane, neighbours }] of this.#lanes.entries()) {
      neighbours.settle(contender.keysIn(lane)[0], contender.token, views[i] as View);
    }
    const { recipe, name } = this.#spec;
    const granted = lease.clock.now();
    const tellEnd = (lost?: LossReason): void =>
      tell('hold', () => ({ recipe, name, held: lease.clock.now() - granted, lost }));
    const { holdOf = plainHold } = this.#spec;
    return holdOf(this.#session.store, {
      place: contender,
      revision: oldest(views),
      watched: this.#lanes.map(({ lane: { rivals, watched = rivals } }) => watched),
      verify: granted - seenAt > freshness,
      onLost: (hold) => {
        this.#forget(contender);
        tellEnd(hold.lost);
        onLost(hold);
      },
      onRelease: tellEnd,
      onGone: () => this.#forget(contender),
    });
  }

  get #what(): string {
    return `${this.#spec.recipe} ${this.#spec.name}`;
  }

  #forget(contender: Contender): void {
    for (const { lane, neighbours } of this.#lanes) neighbours.remove(contender.keysIn(lane)[0]);
  }
}

/** A line, and what others of this process know of it. */
interface Joined {
  readonly lane: Lane;
  readonly neighbours: Neighbours;
}

/** What we know of which line. */
interface Turn {
  readonly view: View;
  readonly i: number;
}

/** Whoever has a key in a range, oldest first; a wait in vain is told to be for `what`. */
export async function entriesIn(
  session: Session,
  keys: KeyRange,
  what: string,
  wait: WaitOptions,
): Promise<LineEntry[]> {
  return (await pairsIn(session, keys, what, wait)).map(entryOf);
}

/** The same as keys. */
export async function pairsIn(
  { store, closing, clock }: Session,
  keys: KeyRange,
  what: string,
  wait: WaitOptions,
): Promise<readonly KeyValue[]> {
  const scope = waitScope(wait, closing, clock, what);
  try {
    const range = { ...keys, sortBy: 'create' } as const;
    return (await persist((limit) => store.read(range, limit), scope.signal, clock)).kvs;
  } finally {
    scope.dispose();
  }
}

/** What a key in a line tells. */
export function entryOf({ key, createRevision, lease, value }: KeyValue): LineEntry {
  return { key: key.toString(), token: createRevision, lease, ...presenceIn(value) };
}

function plainHold(store: Store, grant: Grant): Hold {
  return new Hold(store, grant);
}

function oldest(views: readonly View[]): bigint {
  return views.map(({ revision }) => revision).reduce((a, b) => (a < b ? a : b));
}
