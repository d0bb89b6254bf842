import { Cell } from '../core/cell.js';
import type { Session } from '../core/session/session.js';
import { ArgumentError } from '../core/store/errors.js';
import { folderOf } from '../core/store/keys.js';
import type { CallOptions } from '../core/store/store.js';
import { wholeNumber } from '../core/whole-number.js';

/**
 * A whole number of any size, shared by all processes on one etcd; 0 until somebody changes it. Changes are applied exactly
 * once, also where an answer is lost; those that are made at the same moment in one process travel as one.
 */
export class Counter {
  /** The name under which processes meet. */
  readonly name: string;
  readonly #cell: Cell;

  /** @throws ArgumentError if the name is empty. */
  constructor(session: Session, name: string) {
    this.name = name;
    this.#cell = Cell.at(session.store, `${folderOf('counter', name)}value`, session.clock);
  }

  /**
   * What it is now.
   *
   * @throws UnavailableError if no endpoint answers.
   * @throws ConflictError if its key has something else than a number.
   */
  async get(options?: CallOptions): Promise<bigint> {
    return this.#numberIn((await this.#cell.read(options)).value);
  }

  /**
   * Adds to it, and gives what it is after that: no two additions of 1 give the same.
   *
   * @param delta - may be negative. @defaultValue 1
   * @throws ArgumentError if `delta` is not a bigint.
   * @throws UnavailableError if etcd did not answer in time; `outcome` says whether it may have been added.
   * @throws the reason of `options.signal`; it may be added all the same.
   * @throws ConflictError if its key has something else than a number.
   */
  async add(delta = 1n, options?: CallOptions): Promise<bigint> {
    checkWhole('delta', delta);
    const { result } = await this.#cell.change((value) => {
      const sum = this.#numberIn(value) + delta;
      return { result: sum, value: String(sum) };
    }, options);
    return result;
  }

  /**
   * Sets it to `value` if it is `expected`; says whether it was.
   *
   * @throws as `add`.
   */
  async compareAndSet(expected: bigint, value: bigint, options?: CallOptions): Promise<boolean> {
    checkWhole('expected', expected);
    checkWhole('value', value);
    const { result } = await this.#cell.change((present) => {
      const isExpected = this.#numberIn(present) === expected;
      return isExpected ? { result: true, value: String(value) } : { result: false };
    }, options);
    return result;
  }

  #numberIn(value: Uint8Array | undefined): bigint {
    return wholeNumber(`counter ${this.name}`, value);
  }
}

function checkWhole(option: string, value: bigint): void {
  if (typeof value !== 'bigint') throw new ArgumentError(option, 'a bigint', value);
}
