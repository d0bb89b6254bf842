import { fieldsIn } from '../core/line/ticket.js';
import type { KeyValue, Txn, WatchEvent, WatchListener } from '../core/store/store.js';
import type { Clock } from '../core/time/clock.js';

/** Milliseconds after which what time it is was to be written again, for those who take over. */
const freshness = 60_000;
/** So many milliseconds by which wall clocks differ are worth telling. */
const tolerance = 1_000;

/**
 * The time of a queue, in milliseconds: counted by the monotonic clock of its keeper, and by that of the next one from where he
 * left off. It began with somebody's wall clock; where that is set later, or goes wrong, this goes on as before.
 */
export class QueueTime {
  readonly #clock: Clock;
  readonly #key: string;
  /** What is to be added to our clock. */
  readonly #offset: number;
  #writtenAt = Number.NEGATIVE_INFINITY;

  /** It is `now`. */
  constructor(clock: Clock, key: string, now: number) {
    this.#clock = clock;
    this.#key = key;
    this.#offset = now - clock.now();
  }

  now(): number {
    return this.#offset + this.#clock.now();
  }

  /** Milliseconds until it is to be written again. */
  left(): number {
    return this.#writtenAt + freshness - this.#clock.now();
  }

  /** Writes it, for whoever takes over. */
  written(): Txn {
    this.#writtenAt = this.#clock.now();
    const value = JSON.stringify({ now: this.now(), wall: this.#clock.wall() });
    return { success: [{ put: { key: this.#key, value } }] };
  }
}

/** Listens to what time it is, so as to go on with that. */
export class TimeListener implements WatchListener {
  readonly #clock: Clock;
  readonly #key: string;
  readonly #onSkew: (ahead: number) => void;
  /** What was written last, and when that was by our clocks. */
  #heard: { readonly revision: bigint; readonly at: number; readonly wall: number } | undefined;

  /** By our clock. */
  #waitsSince = Number.NEGATIVE_INFINITY;

  /** `onSkew` is told by how many milliseconds the last keeper's wall clock is ahead of ours, if they differ by some seconds. */
  constructor(clock: Clock, key: string, onSkew: (ahead: number) => void) {
    this.#clock = clock;
    this.#key = key;
    this.#onSkew = onSkew;
  }

  events(events: readonly WatchEvent[]): void {
    const { type, kv } = events.at(-1) as WatchEvent;
    const [at, wall] = [this.#clock.now(), this.#clock.wall()];
    this.#heard = type === 'put' ? { revision: kv.modRevision, at, wall } : undefined;
  }

  gap(): void {
    this.#heard = undefined;
  }

  closed(): void {
    this.#heard = undefined;
  }

  /** From now on somebody else is the keeper, until we take over. */
  waits(): void {
    this.#waitsSince = this.#clock.now();
  }

  /**
   * The time of a queue whose keeper left this. Who heard it when it was written has measured since how long ago that was; for
   * others the wall clocks say, up to what can be: a keeper writes it all the time.
   */
  takeOver(left: KeyValue | undefined): QueueTime {
    const clock = this.#clock;
    const heard = left?.modRevision === this.#heard?.revision ? this.#heard : undefined;
    const { now, wall } = fieldsIn(left?.value ?? Buffer.alloc(0));
    if (typeof now !== 'number' || typeof wall !== 'number') {
      return new QueueTime(clock, this.#key, clock.wall());
    }
    // Who did not hear it knows only that it was not written later than now.
    const ahead = heard ? wall - heard.wall : Math.max(0, wall - clock.wall());
    if (Math.abs(ahead) > tolerance) this.#onSkew(ahead);
    const most = clock.now() - this.#waitsSince + freshness;
    const since = heard ? clock.now() - heard.at : Math.min(Math.max(0, clock.wall() - wall), most);
    this.#waitsSince = Number.NEGATIVE_INFINITY;
    return new QueueTime(clock, this.#key, now + since);
  }
}
