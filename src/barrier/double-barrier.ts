import { Hold } from '../core/line/hold.js';
import type { Session } from '../core/session/session.js';
import { CoordinationError, HoldLostError, RefusedError } from '../core/store/errors.js';
import { prefixRange } from '../core/store/keys.js';
import type { CallOptions } from '../core/store/store.js';
import { abortable, type WaitOptions, waitScope } from '../core/time/signals.js';
import { type Gathered, Gathering, type GatheringState } from './gathering.js';

/** A double barrier as others see it. */
export type DoubleBarrierState = GatheringState;

/** What we are in. */
interface Inside {
  readonly hold: Hold;
  readonly gathered: Gathered;
  /** Whether we were in it until we left. */
  leaving?: Promise<boolean>;
}

/**
 * So many parties begin together, and end together. Each use is a round of its own; one may begin while parties of another
 * are still inside. An object stands for one party.
 */
export class DoubleBarrier {
  /** The name under which processes meet. */
  readonly name: string;
  /** How many parties begin together. */
  readonly count: number;
  readonly #session: Session;
  readonly #gathering: Gathering;
  #isEntering = false;
  #inside: Inside | undefined;

  /** @throws ArgumentError if the name is empty, or the count not a whole number from 1. */
  constructor(session: Session, name: string, count: number) {
    this.name = name;
    this.count = count;
    this.#session = session;
    const spec = { recipe: 'double-barrier', verb: 'enter', name, count, breaks: false };
    this.#gathering = new Gathering(session, spec);
  }

  /**
   * Waits until as many have entered as are to begin together. If one of them leaves before, the others go on waiting.
   * The hold that it gives lasts while we are inside: its signal aborts when the others take us for having left.
   *
   * @throws CoordinationError with code `ERR_INVALID_ARGUMENT` if this object was entered, and neither left nor lost since.
   * @throws ConflictError if others use the barrier with another count.
   * @throws HoldLostError if somebody deletes our key; SessionLostError, ClosedError if the session ended.
   * @throws WaitTimeoutError, or the reason of `wait.signal`.
   */
  async enter(wait: WaitOptions = {}): Promise<Hold> {
    if (this.#isEntering || (this.#inside && !this.#inside.hold.lost)) {
      throw new CoordinationError('ERR_INVALID_ARGUMENT', `${this.#gathering.what} was entered`);
    }
    this.#isEntering = true;
    try {
      const gathered = await this.#gathering.gather(wait);
      const hold = this.#hold(gathered);
      this.#inside = { hold, gathered };
      return hold;
    } finally {
      this.#isEntering = false;
    }
  }

  /**
   * Leaves, and waits until all who entered with us have. Who dies inside has left. A call that fails has left all the same;
   * the next goes on waiting for the others.
   *
   * @throws CoordinationError with code `ERR_INVALID_ARGUMENT` if this object was not entered.
   * @throws HoldLostError if we were inside no more: the others took us for having left.
   * @throws RefusedError if etcd refuses to delete our key, which is tried again in the background.
   * @throws WaitTimeoutError, or the reason of `wait.signal`; ClosedError if the session is closed.
   */
  async leave(wait: WaitOptions = {}): Promise<void> {
    const { what } = this.#gathering;
    const inside = this.#inside;
    if (!inside) throw new CoordinationError('ERR_INVALID_ARGUMENT', `${what} was not entered`);
    const { hold, gathered } = inside;
    inside.leaving ??= hold.release();
    const { closing, clock } = this.#session;
    const scope = waitScope(wait, closing, clock, what);
    const { signal } = scope;
    try {
      const wasInside = await abortable(inside.leaving, signal);
      if (wasInside) await this.#gathering.dispersed(gathered, { signal });
      this.#inside = undefined;
      if (!wasInside) throw new HoldLostError(hold.key, hold.lost ?? 'deleted');
    } catch (error) {
      // Our key is given up in the background; the next call waits for that, too.
      if (error instanceof RefusedError) inside.leaving = Promise.resolve(true);
      throw error;
    } finally {
      scope.dispose();
    }
  }

  /** Which round is open, who waits in it, and who is inside of earlier ones. @throws UnavailableError if no endpoint answers. */
  inspect(options: CallOptions = {}): Promise<DoubleBarrierState> {
    return this.#gathering.inspect(options);
  }

  #hold({ party }: Gathered): Hold {
    return new Hold(this.#session.store, {
      place: party,
      revision: party.token,
      watched: [prefixRange(party.round.parties)],
      verify: true,
      onLost: () => {},
      onRelease: () => {},
      onGone: () => {},
    });
  }
}
