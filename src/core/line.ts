import { type Codec, json } from './codec.js';
import { Contender, listed, type View } from './contender.js';
import { Departures } from './departures.js';
import type { LossReason } from './errors.js';
import { Hold } from './hold.js';
import { type Data, type KeyRange, prefixRange } from './keys.js';
import { Neighbours } from './neighbours.js';
import { persist } from './persist.js';
import type { Owner, Session } from './session.js';
import { type WaitOptions, waitScope } from './signals.js';
import type { KeyValue } from './store.js';
import { type Traces, tell, traced } from './trace.js';

/** A line as data, and what it is for: a wait in vain names it, and so do traces. */
export type LineSpec = Traces['wait'] & {
  /** Where contenders put their keys; ends with a slash. */
  readonly folder: string;
  /** Whose keys count as being ahead, when older. */
  readonly rivals: KeyRange;
  /** In is who has fewer than so many older rivals. */
  readonly slots: number;
};

/** Somebody in a line, as others see it. */
export interface LineEntry {
  /** The key that is their place. */
  readonly key: string;
  /** Its create revision: who is older comes first. */
  readonly token: bigint;
  /** The lease that keeps them in line. */
  readonly lease: bigint;
  /** Who they are; `undefined` for clients that do not say. */
  readonly owner: Owner | undefined;
  /** Milliseconds since they joined, by their wall clock and ours: to look at, not to rely on. */
  readonly age: number | undefined;
}

/**
 * A wait ends with an event, which a member that fell behind may deliver late. So whoever's key was not read
 * within so many milliseconds before has it read right after, and learns at once if it was gone.
 */
const freshness = 1_000;

type Ticket = Owner & { readonly at: number };

/**
 * The FIFO line that locks, semaphores and elections are made of. A contender owns a key bound to its
 * session, and is in when fewer than `slots` older rivals exist. The order is that of create revisions, as
 * in etcd's own `concurrency` package, with which a line may be shared.
 *
 * Joining tells who is ahead; from there a live watch of the line, shared by all who wait in this process,
 * tells who leaves, so that nothing is read when our turn comes. The watch's events are etcd's own
 * history in order: the one that lets us in proves that our key existed when all who were ahead were gone.
 */
export class Line {
  readonly #session: Session;
  readonly #spec: LineSpec;
  readonly #neighbours: Neighbours;
  readonly #codec: Codec<Ticket> = json();

  constructor(session: Session, spec: LineSpec) {
    this.#session = session;
    this.#spec = spec;
    this.#neighbours = new Neighbours(session.store, spec.rivals);
  }

  /**
   * Joins the line and waits to be let in. Calls `onWaiting` once if it is not our turn at once.
   *
   * @throws WaitTimeoutError, or the reason of `wait.signal`: our place in the line is given up.
   * @throws HoldLostError if somebody deleted our place; SessionLostError, ClosedError if the session ended.
   */
  enter(wait: WaitOptions, onWaiting: () => void, onLost: (hold: Hold) => void): Promise<Hold> {
    const { recipe, verb, name } = this.#spec;
    const contend = (): Promise<Hold> =>
      this.#contend(wait, async (contender, signal) => {
        let view = this.#neighbours.complete(await contender.join(signal));
        if (view.ahead.size >= this.#spec.slots) {
          onWaiting();
          view = await this.#wait(contender, view, signal);
        }
        return this.#hold(contender, view, signal, onLost);
      });
    return traced('wait', () => ({ recipe, verb, name }), contend);
  }

  /**
   * Takes the only slot if the line is empty, in one transaction that writes nothing otherwise.
   *
   * @returns `undefined` if somebody is in the line
   */
  async tryEnter(wait: WaitOptions, onLost: (hold: Hold) => void): Promise<Hold | undefined> {
    return this.#contend(wait, async (contender, signal) => {
      const revision = await contender.tryJoin(signal);
      if (revision === undefined) return undefined;
      const view = { revision, ahead: new Set<string>(), nearest: undefined, complete: true };
      return this.#hold(contender, view, signal, onLost);
    });
  }

  /** Everybody in the line, oldest first. */
  async list(wait: WaitOptions): Promise<LineEntry[]> {
    const { store, closing, clock } = this.#session;
    const scope = waitScope(wait, closing, clock, this.#what);
    try {
      const range = { ...prefixRange(this.#spec.folder), sortBy: 'create' } as const;
      const { kvs } = await persist((limit) => store.read(range, limit), scope.signal, clock);
      return kvs.map((kv) => this.#entry(kv));
    } finally {
      scope.dispose();
    }
  }

  /** Runs `work` for a new contender within the limits of `wait`; gives its place up if that fails. */
  async #contend<T>(
    wait: WaitOptions,
    work: (contender: Contender, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { store, clock } = this.#session;
    const since = clock.now();
    let lease = this.#session.freeLease;
    while (!lease) {
      await this.#makeRoom(wait, since);
      lease = this.#session.freeLease;
    }
    const scope = waitScope(wait, lease.signal, clock, this.#what, since);
    try {
      scope.signal.throwIfAborted();
      const contender = new Contender(lease, store, this.#spec, this.#ticket());
      try {
        return await work(contender, scope.signal);
      } catch (error) {
        this.#neighbours.remove(contender.key);
        contender.withdraw();
        throw error;
      }
    } finally {
      scope.dispose();
    }
  }

  async #makeRoom(wait: WaitOptions, since: number): Promise<void> {
    const { closing, clock } = this.#session;
    const scope = waitScope(wait, closing, clock, this.#what, since);
    try {
      await this.#session.makeRoom(scope.signal);
    } finally {
      scope.dispose();
    }
  }

  /**
   * Waits until fewer than `slots` of those ahead are left, by the events of a watch that misses none and
   * shows the end of our own key in the same order.
   */
  async #wait(contender: Contender, joined: View, signal: AbortSignal): Promise<View> {
    const { rivals, slots } = this.#spec;
    const departures = new Departures(this.#session.store, rivals, contender.key);
    try {
      let view = joined;
      while (view.ahead.size >= slots) {
        this.#neighbours.add(contender.key, view);
        // Before the last of a list that is not complete has left, there is time to learn who was not on it.
        const atMost = view.complete ? slots - 1 : slots - 1 + listed / 2;
        const certain = await departures.until(view, atMost, signal);
        if (certain) view = this.#neighbours.complete(view);
        if (certain && view.complete) continue;
        this.#neighbours.remove(contender.key);
        view = await contender.look(signal);
      }
      return view;
    } finally {
      departures.close();
    }
  }

  #hold(contender: Contender, view: View, signal: AbortSignal, onLost: (hold: Hold) => void): Hold {
    const { lease, key, token, unanswered, seenAt } = contender;
    // After the event loop stood still, the answer may be read before the timers run that would have ended the wait.
    lease.signal.throwIfAborted();
    signal.throwIfAborted();
    this.#neighbours.add(key, view);
    const { recipe, name } = this.#spec;
    const granted = lease.clock.now();
    const tellEnd = (lost?: LossReason): void =>
      tell('hold', () => ({ recipe, name, held: lease.clock.now() - granted, lost }));
    return new Hold(lease, this.#session.store, {
      key,
      token,
      unanswered,
      revision: view.revision,
      range: this.#spec.rivals,
      verify: lease.clock.now() - seenAt > freshness,
      onLost: (hold) => {
        this.#neighbours.remove(key);
        if (hold.lost === 'deleted' && !unanswered) lease.drop(key);
        tellEnd(hold.lost);
        onLost(hold);
      },
      onRelease: tellEnd,
      onGone: () => {
        this.#neighbours.remove(key);
        contender.giveBackKey();
      },
      onRefused: () => contender.withdraw(),
    });
  }

  get #what(): string {
    return `${this.#spec.recipe} ${this.#spec.name}`;
  }

  #ticket(): Data {
    return this.#codec.encode({ ...this.#session.owner, at: Date.now() });
  }

  #entry(kv: KeyValue): LineEntry {
    const { createRevision: token, lease } = kv;
    const ticket = this.#readTicket(kv.value);
    const age = ticket && Math.max(0, Date.now() - ticket.at);
    const owner = ticket && {
      host: ticket.host,
      pid: ticket.pid,
      ...(ticket.label !== undefined && { label: ticket.label }),
    };
    return { key: kv.key.toString(), token, lease, owner, age };
  }

  /** Other clients may share the line and leave their values empty, or put in what they like. */
  #readTicket(value: Buffer): Ticket | undefined {
    try {
      const ticket = this.#codec.decode(value);
      return typeof ticket.host === 'string' && typeof ticket.pid === 'number' ? ticket : undefined;
    } catch {
      return undefined;
    }
  }
}
