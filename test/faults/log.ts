import { HoldLostError, isCoordinationError, SessionLostError } from '../../src/index.js';

/** One call of a verb. */
interface Call {
  readonly began: number;
  /** `undefined` while it is on its way. */
  ended?: number;
  /** How it failed, in short. */
  failure?: string;
}

/** How long after its limit a call may settle: machines have other work. */
const grace = 1_000;

/** What became of the calls of one verb. */
export class Log {
  readonly #calls: Call[] = [];
  readonly #limit: number;

  /** @param limit - milliseconds within which every call settles */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Makes a call; what it throws is written down, given to `failed`, and comes to `undefined`. */
  async run<T>(
    work: () => Promise<T>,
    failed: (error: unknown) => void = () => {},
  ): Promise<T | undefined> {
    const call: Call = { began: performance.now() };
    this.#calls.push(call);
    try {
      return await work();
    } catch (error) {
      call.failure = labelOf(error);
      failed(error);
      return undefined;
    } finally {
      call.ended = performance.now();
    }
  }

  /** Something good was seen. */
  succeeded(): void {
    const now = performance.now();
    this.#calls.push({ began: now, ended: now });
  }

  /** Something bad was seen. */
  failed(error: unknown): void {
    const now = performance.now();
    this.#calls.push({ began: now, ended: now, failure: labelOf(error) });
  }

  /** How many calls that began after `time` went well. */
  successesAfter(time: number): number {
    return this.#successes.filter(({ began }) => began >= time).length;
  }

  /** Each failure since then, and how often. */
  failuresSince(time: number): ReadonlyMap<string, number> {
    const found = new Map<string, number>();
    for (const { ended = Infinity, failure } of this.#calls) {
      if (failure !== undefined && ended >= time) found.set(failure, (found.get(failure) ?? 0) + 1);
    }
    return found;
  }

  /** The longest time without a success, in milliseconds, of those that were not over at `time`, and began before `until`. */
  pauseBetween(time: number, until: number): number {
    const ends = this.#successes.map(({ ended = 0 }) => ended).toSorted((a, b) => a - b);
    const before = ends.findLast((end) => end <= time);
    // What was going on from before counts from then, unless nothing was.
    const from = before === undefined || time - before > 500 ? time : before;
    const marks = [from, ...ends.filter((end) => end > time && end < until), until];
    return Math.max(...marks.slice(1).map((mark, i) => mark - (marks[i] as number)));
  }

  /** Calls that did not settle in time. */
  overdue(now: number): string[] {
    return this.#calls
      .filter(({ began, ended = now }) => ended - began > this.#limit + grace)
      .map(({ began, ended, failure }) => {
        const took = `${Math.round((ended ?? now) - began)} ms`;
        const how = ended === undefined ? 'is still on its way' : (failure ?? 'went well');
        return `a call with a limit of ${this.#limit} ms took ${took} and ${how}`;
      });
  }

  get #successes(): Call[] {
    return this.#calls.filter(({ ended, failure }) => ended !== undefined && !failure);
  }
}

/** An error in short: a code, or for what is held why it is lost. */
function labelOf(error: unknown): string {
  if (error instanceof HoldLostError || error instanceof SessionLostError) {
    return `lost: ${error.reason}`;
  }
  return isCoordinationError(error) ? error.code : `unexpected ${String(error)}`;
}
