import type { Presence } from '../core/line/ticket.js';
import type { Session } from '../core/session/session.js';
import type { CallOptions } from '../core/store/store.js';
import type { WaitOptions } from '../core/time/signals.js';
import { Gathering } from './gathering.js';

/** How a party came to go on. */
export interface Passage {
  /** Which round it was, from 1 on. */
  readonly generation: number;
  /** How many of the round had come before: 0 for one of the parties, and a number of its own for each. */
  readonly index: number;
}

/** A cyclic barrier as others see it. */
export interface CyclicBarrierState {
  /** Of the round that is open; `undefined` if nobody has used the barrier. */
  readonly generation: number | undefined;
  /** How many parties it waits for. */
  readonly count: number | undefined;
  /** Who waits, in the order of arrival. */
  readonly waiting: readonly Presence[];
}

/**
 * So many parties wait for each other, and go on together; then the next round begins. One that leaves before all have come
 * breaks the round for all who are in it.
 */
export class CyclicBarrier {
  /** The name under which processes meet. */
  readonly name: string;
  /** How many parties go on together. */
  readonly count: number;
  readonly #gathering: Gathering;

  /** @throws ArgumentError if the name is empty, or the count not a whole number from 1. */
  constructor(session: Session, name: string, count: number) {
    this.name = name;
    this.count = count;
    const spec = { recipe: 'cyclic-barrier', verb: 'wait', name, count, breaks: true };
    this.#gathering = new Gathering(session, spec);
  }

  /**
   * Waits for the others. A call that fails while others wait breaks the round for them, in the background.
   *
   * @throws BrokenBarrierError if another party of the round left before all had come.
   * @throws ConflictError if others use the barrier with another count.
   * @throws WaitTimeoutError, or the reason of `wait.signal`; SessionLostError, ClosedError if the session ended.
   */
  async wait(wait: WaitOptions = {}): Promise<Passage> {
    const { party, tokens } = await this.#gathering.gather(wait);
    party.withdraw();
    return { generation: party.round.generation, index: tokens.indexOf(party.token) };
  }

  /** Which round is open, and who waits in it. @throws UnavailableError if no endpoint answers. */
  async inspect(options: CallOptions = {}): Promise<CyclicBarrierState> {
    const { generation, count, waiting } = await this.#gathering.inspect(options);
    return { generation, count, waiting };
  }
}
