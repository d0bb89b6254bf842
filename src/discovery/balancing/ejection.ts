import type { Clock } from '../../core/time/clock.js';
import type { EjectionOptions } from './balancer-options.js';
import type { Member } from './member.js';

/** Who is told of what happens to a member; `error` is the failure after which it was ejected, for so many milliseconds. */
export interface EjectionListener {
  ejected(member: Member, ms: number, error: unknown): void;
  returned(member: Member): void;
}

/**
 * Leaves members alone whose calls fail, as outlier detection does in Envoy and in gRPC (proposal A50): after failures in a row or by
 * their rate, each time for longer, and never too many at once. When its time has passed, a member is given one call: if that
 * succeeds it is back, if it fails it is ejected again. There are no timers: who picks asks whether a time has come.
 */
export class Ejection {
  readonly #options: Required<EjectionOptions>;
  readonly #clock: Clock;
  readonly #listener: EjectionListener;
  readonly #ejected = new Set<Member>();
  /** How many may be ejected. */
  #limit = 0;
  /** When somebody may be tried. */
  #next = Number.POSITIVE_INFINITY;

  constructor(options: EjectionOptions, clock: Clock, listener: EjectionListener) {
    const { time = 30_000, maxTime = Math.max(300_000, time) } = options;
    this.#options = {
      failuresInRow: 5,
      failureRate: 0.85,
      minCalls: 50,
      window: 10_000,
      maxEjected: 0.5,
      ...options,
      time,
      maxTime,
    };
    this.#clock = clock;
    this.#listener = listener;
  }

  /** Whether others may be called than `admitted` said last. */
  get isDue(): boolean {
    return this.#next < Number.POSITIVE_INFINITY && this.#clock.now() >= this.#next;
  }

  /** Those of all that may be called now. Where too many are ejected because others went, those whose time comes first are let in. */
  admitted(all: readonly Member[]): readonly Member[] {
    this.#limit = Math.min(Math.floor(this.#options.maxEjected * all.length), all.length - 1);
    this.#next = Number.POSITIVE_INFINITY;
    if (this.#ejected.size === 0) return all;
    const present = new Set(all);
    for (const member of this.#ejected) if (!present.has(member)) this.#ejected.delete(member);
    const now = this.#clock.now();
    const out = [...this.#ejected]
      .filter(({ ejectedUntil }) => ejectedUntil > now)
      .toSorted((a, b) => b.ejectedUntil - a.ejectedUntil)
      .slice(0, Math.max(0, this.#limit));
    this.#next = out.at(-1)?.ejectedUntil ?? this.#next;
    for (const member of out) present.delete(member);
    return [...present];
  }

  /** It was picked: whether that is a trial, during which nobody else picks it. One whose end is not told is over in time. */
  picked(member: Member): boolean {
    if (!this.#ejected.has(member)) return false;
    member.ejectedUntil = this.#clock.now() + this.#timeOf(member);
    this.#next = 0;
    return true;
  }

  /** A call of it succeeded. */
  succeeded(member: Member, isTrial: boolean): void {
    if (isTrial && this.#ejected.delete(member)) {
      member.returnedAt = this.#clock.now();
      member.windowEnd = 0;
      this.#next = 0;
      this.#listener.returned(member);
    }
    member.failuresInRow = 0;
    this.#count(member);
  }

  /** A call of it failed. */
  failed(member: Member, isTrial: boolean, error: unknown): void {
    this.#count(member);
    member.failures += 1;
    member.failuresInRow += 1;
    // Of calls that began before it was ejected nothing new is learned.
    if (this.#ejected.has(member) ? isTrial : this.#isOutlier(member)) this.#eject(member, error);
  }

  #eject(member: Member, error: unknown): void {
    if (!this.#ejected.has(member)) {
      if (this.#ejected.size >= this.#limit) return;
      this.#ejected.add(member);
      const quiet = this.#clock.now() - member.returnedAt;
      const forgiven = Math.floor(quiet / this.#options.time);
      member.ejections = Math.max(0, member.ejections - forgiven);
    }
    member.ejections += 1;
    const ms = this.#timeOf(member);
    member.ejectedUntil = this.#clock.now() + ms;
    this.#next = 0;
    this.#listener.ejected(member, ms, error);
  }

  #timeOf({ ejections }: Member): number {
    return Math.min(this.#options.time * ejections, this.#options.maxTime);
  }

  #isOutlier({ failuresInRow, failures, calls }: Member): boolean {
    const { failuresInRow: most, failureRate, minCalls } = this.#options;
    return failuresInRow >= most || (calls >= minCalls && failures / calls >= failureRate);
  }

  #count(member: Member): void {
    const now = this.#clock.now();
    if (now >= member.windowEnd) {
      member.windowEnd = now + this.#options.window;
      member.calls = 0;
      member.failures = 0;
    }
    member.calls += 1;
  }
}
