import type { KeyRange } from '../core/store/keys.js';
import type { RangeReply, RangeRequest, Store } from '../core/store/store.js';
import type { Clock } from '../core/time/clock.js';
import { type Deferred, deferred } from '../core/time/deferred.js';
import { persist } from '../core/time/persist.js';
import { abortable } from '../core/time/signals.js';

/** How long events may take before the store is asked whether there are any, in milliseconds, and how long at most between questions. */
const patience = 50;
const longestPause = 2_000;

/** What it is about. */
export interface FreshnessSpec {
  readonly store: Store;
  readonly range: KeyRange;
  readonly clock: Clock;
  readonly staleAfter: number;
}

/** Who wants to know. */
export interface FreshnessUser {
  /** How many keys there are in the copy. */
  readonly size: number;
  /** It is not known any more to be current, or known again. */
  turned(isCurrent: boolean): void;
  /** The store refuses to be asked. */
  refused(error: unknown): void;
  /** The copy is as the store is at this revision: what comes later of before it is over. */
  unchanged(revision: bigint): void;
  /** What there was at this revision has not come for as long as `staleAfter`: it must be read. */
  missed(revision: bigint): void;
}

/**
 * How far a copy of a range is, and since when it may be behind. A watch tells what changed, but not that nothing did: that is
 * asked of the store, by linearizable reads. What a copy had reached when such a read was answered, it had of all that was
 * before the read was sent.
 */
export class Freshness {
  readonly #spec: FreshnessSpec;
  readonly #user: FreshnessUser;
  readonly #waits = new Map<Deferred<void>, bigint>();
  /** Ends what asks the store. */
  #signal: AbortSignal = AbortSignal.abort();
  #revision = 0n;
  /** Everything that was there at this time is in the copy. */
  #currentAt = Number.NEGATIVE_INFINITY;
  #isLooking = false;
  /** What the store has and the copy has not, and since when. */
  #behind: { readonly revision: bigint; readonly since: number } | undefined;
  #stopTimer: () => void = () => {};
  #toldStale = false;
  #proved: Deferred<void> = deferred();

  constructor(spec: FreshnessSpec, user: FreshnessUser) {
    this.#spec = spec;
    this.#user = user;
  }

  /** The copy is as the store was at this revision. */
  get revision(): bigint {
    return this.#revision;
  }

  /** Everything written longer ago than this is in the copy; milliseconds. */
  get staleness(): number {
    return Math.max(0, this.#spec.clock.now() - this.#currentAt);
  }

  get isStale(): boolean {
    return this.staleness >= this.#spec.staleAfter;
  }

  /** The copy is complete, by a read that was sent at `asked` or later: from now on, and until `signal` aborts, the store is asked. */
  begin(asked: number, signal: AbortSignal): void {
    this.#signal = signal;
    this.#behind = undefined;
    this.#prove(asked);
    void this.#probe(signal);
  }

  end(): void {
    this.#stopTimer();
  }

  /** The copy has come to this revision. */
  advance(revision: bigint): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    for (const [wait, awaited] of this.#waits) if (awaited <= revision) wait.resolve();
  }

  /** Waits until the copy has come so far. @throws the reason of `signal`; RefusedError. */
  async reach(revision: bigint, signal: AbortSignal): Promise<void> {
    if (revision <= this.#revision) return;
    const wait = deferred<void>();
    this.#waits.set(wait, revision);
    void this.#look();
    try {
      await abortable(wait.promise, signal);
    } finally {
      this.#waits.delete(wait);
    }
  }

  /** Waits until the copy has everything that was written longer ago than so many milliseconds. @throws the reason of `signal`. */
  async within(age: number, signal: AbortSignal): Promise<void> {
    while (this.staleness >= age) await abortable(this.#proved.promise, signal);
  }

  async #probe(signal: AbortSignal): Promise<void> {
    const { range, clock, staleAfter } = this.#spec;
    try {
      for (;;) {
        const [{ revision }, asked] = await this.#read({ ...range, countOnly: true });
        await this.reach(revision, signal);
        this.#prove(asked);
        // A pause begins with its read: if that was long ago, the next is due.
        await clock.sleep(Math.max(0, asked + staleAfter / 3 - clock.now()), signal);
      }
    } catch (error) {
      if (!signal.aborted) this.#user.refused(error);
    }
  }

  /** Where events do not come in time, there may be none: revisions also grow by what others write elsewhere. */
  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const { clock } = this.#spec;
    const signal = this.#signal;
    try {
      for (let pause = patience; this.#waits.size > 0; pause = Math.min(2 * pause, longestPause)) {
        await clock.sleep(pause, signal);
        if (this.#waits.size > 0) await this.#compare();
        this.#repair();
      }
    } catch (error) {
      for (const wait of this.#waits.keys()) wait.reject(error);
    } finally {
      this.#isLooking = false;
    }
  }

  /** Where nothing was put later, and there are as many keys as here, nothing has changed: that is what is here. */
  async #compare(): Promise<void> {
    const later = { minModRevision: this.#revision + 1n, keysOnly: true, limit: 1 };
    const [{ revision, kvs, count }, since] = await this.#read({ ...this.#spec.range, ...later });
    if (kvs.length > 0 || count !== this.#user.size) this.#behind ??= { revision, since };
    else {
      this.#user.unchanged(revision);
      this.advance(revision);
    }
  }

  /** A watch that tells nothing, and does not end either, must not keep the copy from what there is. */
  #repair(): void {
    const { clock, staleAfter } = this.#spec;
    const { revision = 0n, since = 0 } = this.#behind ?? {};
    const isBehind = revision > this.#revision;
    if (isBehind && clock.now() - since < staleAfter) return;
    this.#behind = undefined;
    if (isBehind) this.#user.missed(revision);
  }

  /** Gives the reply, and when it was asked for. */
  async #read(request: RangeRequest): Promise<[RangeReply, number]> {
    const { store, clock } = this.#spec;
    const signal = this.#signal;
    let asked = clock.now();
    const reply = await persist(
      (limits) => {
        asked = clock.now();
        return store.read(request, { ...limits, signal });
      },
      signal,
      clock,
    );
    return [reply, asked];
  }

  #prove(asked: number): void {
    if (this.#signal.aborted) return;
    this.#currentAt = asked;
    this.#proved.resolve();
    this.#proved = deferred();
    this.#watchAge();
    if (!this.isStale) this.#turn(false);
  }

  #watchAge(): void {
    const { clock, staleAfter } = this.#spec;
    this.#stopTimer();
    const left = Math.max(0, staleAfter - this.staleness);
    // Timers leave fractions out: they may be early.
    this.#stopTimer = clock.after(left, () => (this.isStale ? this.#turn(true) : this.#watchAge()));
  }

  #turn(isStale: boolean): void {
    if (isStale === this.#toldStale) return;
    this.#toldStale = isStale;
    this.#user.turned(!isStale);
  }
}
