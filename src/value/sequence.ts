import { Cell } from '../core/cell.js';
import type { Session } from '../core/session/session.js';
import { folderOf } from '../core/store/keys.js';
import type { CallOptions } from '../core/store/store.js';
import { persist } from '../core/time/persist.js';
import { abortable, type WaitOptions, waitScope } from '../core/time/signals.js';
import { wholeFrom } from '../core/validate.js';
import { wholeNumber } from '../core/whole-number.js';

/** Options of a sequence. */
export interface SequenceOptions {
  /**
   * How many numbers are taken from etcd at once, for this object to give out. More are faster; what other processes get
   * meanwhile is larger then, and numbers that were not given out are left out. @defaultValue 1
   */
  readonly block?: number;
}

/** Numbers that are to be given out, and how many had asked when they were taken. */
interface Taken {
  readonly next: bigint;
  readonly last: bigint;
  readonly asked: number;
}

/** Numbers from 1 on, each given once, to whichever process asks. They grow for each process, and for all with blocks of 1. */
export class Sequence {
  /** The name under which processes meet. */
  readonly name: string;
  readonly #session: Session;
  readonly #cell: Cell;
  readonly #block: number;
  #next = 1n;
  #last = 0n;
  /** How many have asked; and of those, how many had when the present numbers were taken. */
  #asked = 0;
  #taken = 0;
  #waiting = 0;
  #refill: Promise<void> | undefined;

  /** @throws ArgumentError if the name is empty or an option is not usable. */
  constructor(session: Session, name: string, { block = 1 }: SequenceOptions = {}) {
    this.name = name;
    this.#session = session;
    this.#cell = Cell.at(session.store, `${folderOf('sequence', name)}last`, session.clock);
    this.#block = wholeFrom(1, 'block', block);
  }

  /**
   * The next number. Goes on through outages.
   *
   * @throws WaitTimeoutError, or the reason of `wait.signal`; ClosedError if the session is closed.
   * @throws RefusedError if etcd refuses it; ConflictError if its key has something else than a number.
   */
  async next(wait: WaitOptions = {}): Promise<bigint> {
    const { clock, closing } = this.#session;
    const scope = waitScope(wait, closing, clock, `sequence ${this.name}`);
    this.#waiting += 1;
    this.#asked += 1;
    const turn = this.#asked;
    try {
      scope.signal.throwIfAborted();
      while (!this.#hasFor(turn)) await abortable(this.#filled(), scope.signal);
      this.#next += 1n;
      return this.#next - 1n;
    } finally {
      this.#waiting -= 1;
      scope.dispose();
    }
  }

  /** Whoever asks later than numbers were taken may have seen larger ones of others: that is for blocks only. */
  #hasFor(turn: number): boolean {
    return this.#next <= this.#last && (this.#block > 1 || turn <= this.#taken);
  }

  /**
   * The largest number that was taken from it, by anybody; 0 if none was.
   *
   * @throws UnavailableError if no endpoint answers; ConflictError if its key has something else than a number.
   */
  async last(options?: CallOptions): Promise<bigint> {
    return wholeNumber(`sequence ${this.name}`, (await this.#cell.read(options)).value);
  }

  /** One for all who wait. */
  #filled(): Promise<void> {
    this.#refill ??= this.#fill().finally(() => {
      this.#refill = undefined;
    });
    return this.#refill;
  }

  async #fill(): Promise<void> {
    const { closing, clock } = this.#session;
    // If an answer is lost, so are numbers: nobody else gets them.
    const { next, last, asked } = await persist((limit) => this.#take(limit), closing, clock);
    this.#next = next;
    this.#last = last;
    this.#taken = asked;
  }

  async #take(limit: CallOptions): Promise<Taken> {
    const { result } = await this.#cell.change((value) => {
      const before = wholeNumber(`sequence ${this.name}`, value);
      const last = before + BigInt(Math.max(this.#block, this.#waiting));
      return { result: { next: before + 1n, last, asked: this.#asked }, value: String(last) };
    }, limit);
    return result;
  }
}
