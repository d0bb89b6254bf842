import {
  CoordinationError,
  isCoordinationError,
  RefusedError,
  UnavailableError,
} from '../../src/index.js';
import type { Fields, Phase, Recorder, What } from './history.js';

/** What a user must be prepared for while members, networks and sessions come and go. */
const EXPECTED = new Set([
  'ERR_HOLD_LOST',
  'ERR_SESSION_LOST',
  'ERR_WAIT_TIMEOUT',
  'ERR_CLOSED',
  'ERR_UNAVAILABLE',
  'ERR_COMPACTED',
  'ERR_BARRIER_BROKEN',
]);

/** An operation as it begins. */
export type Call = Omit<Fields, 'f' | 'e' | 'i'>;

/** Has operations done by one process, and writes down how they begin and end. */
export class Operations {
  readonly #recorder: Recorder;

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  /** A value that nobody else writes, and a number for the operation that writes it. */
  fresh(): { i: number; value: string } {
    const i = this.#recorder.next();
    return { i, value: `${this.#recorder.process}:${i}` };
  }

  /**
   * Does one, and gives what it gave; `undefined` if it failed or if nobody knows.
   *
   * @param outcome - what of its result goes into the history
   * @throws what is no error of etcd or of the library, after it was written down
   */
  async run<T>(
    f: What,
    call: Call & { readonly i?: number },
    work: () => Promise<T>,
    outcome: (result: T) => Call = () => ({}),
    t?: number,
  ): Promise<T | undefined> {
    const i = call.i ?? this.#recorder.next();
    this.#recorder.write({ ...call, f, e: 'invoke', i }, t);
    const { key, lock } = call;
    const again = { ...(key !== undefined && { key }), ...(lock !== undefined && { lock }) };
    try {
      const result = await work();
      this.#recorder.write({ ...again, ...outcome(result), f, e: 'ok', i });
      return result;
    } catch (error) {
      const expected = isExpected(error);
      const text = `${(error as Error).name}: ${(error as Error).message}`;
      const unexpected = expected ? {} : { unexpected: true };
      const applied = wasApplied(error) ? { applied: true } : {};
      const rest = { ...again, ...unexpected, ...applied };
      this.#recorder.write({ ...rest, f, e: phaseOf(error), i, error: text });
      return undefined;
    }
  }

  note(f: What, fields: Call & { readonly i?: number }): void {
    this.#recorder.write({ ...fields, f, e: 'info' });
  }
}

function isExpected(error: unknown): boolean {
  if (error instanceof CoordinationError && EXPECTED.has(error.code)) return true;
  // Out of space by alarm; and a write that was late for its lease.
  return (
    error instanceof RefusedError && /database space exceeded|lease not found/.test(error.message)
  );
}

function wasApplied(error: unknown): boolean {
  return error instanceof UnavailableError && error.outcome === 'applied';
}

function phaseOf(error: unknown): Phase {
  if (error instanceof UnavailableError) {
    return error.outcome === 'not-applied' ? 'fail' : 'unknown';
  }
  return isCoordinationError(error) ? 'fail' : 'unknown';
}
