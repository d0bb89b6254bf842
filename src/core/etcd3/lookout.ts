import type { Clock } from '../time/clock.js';
import type { Endpoint } from './endpoint.js';

/** Between two questions to the same endpoint, in milliseconds, at first; a twentieth of the time that nobody has answered later. */
const leastPause = 100;
/** Both grow for so many milliseconds: a search may go on for hours, and must still be quick when it is needed again. */
const growth = 10_000;
/** Who answers in so many milliseconds has been well all along. */
const prompt = 250;
/** What is not answered so many milliseconds after a question that came later will not be. */
const grace = 100;
/** Nobody has needed an endpoint for so many milliseconds: longer than any attempt takes. */
const lifetime = 10_000;

/** Whether an answer that an endpoint has owed since some time is not to be waited for: another attempt gets it sooner. */
export type IsAbandoned = (endpoint: Endpoint, since: number) => boolean;

/** Who has a lookout kept, and acts on what it finds. */
export interface Keeper {
  /** Whom to ask, the preferred ones first. */
  candidates(): readonly Endpoint[];
  /** Finds out whether an endpoint can be used, in the time of an attempt or `atLeast` so many milliseconds. Does not reject. */
  isWell(endpoint: Endpoint, atLeast: number): Promise<boolean>;
  /** An endpoint is well; whether it is the first to be found. */
  found(endpoint: Endpoint, isFirst: boolean): void;
  /** Has answers not be waited for. */
  abandon(isAbandoned: IsAbandoned): void;
}

/** One time of looking out, until somebody is found. */
interface Search {
  readonly began: number;
  readonly well: Set<Endpoint>;
  until: number;
}

/**
 * Looks for an endpoint that is well when the one in use is not. All are asked at once, and over and over without waiting
 * for answers: what a member takes in before it knows that the leader is gone is not answered, what it takes in after is.
 */
export class Lookout {
  readonly #clock: Clock;
  readonly #keeper: Keeper;
  #search: Search | undefined;
  /** When the last outage ended. */
  #recovered = Number.NEGATIVE_INFINITY;
  #stopAsking = (): void => {};
  #stopGrace = (): void => {};

  constructor(clock: Clock, keeper: Keeper) {
    this.#clock = clock;
    this.#keeper = keeper;
  }

  /** An endpoint is needed. */
  begin(): void {
    const began = this.#clock.now();
    const until = began + lifetime;
    if (this.#search) {
      this.#search.until = until;
      return;
    }
    this.#search = { began, until, well: new Set() };
    this.#askAll(this.#search);
  }

  close(): void {
    this.#search = undefined;
    this.#stopAsking();
    this.#stopGrace();
  }

  #askAll(search: Search): void {
    const now = this.#clock.now();
    if (now >= search.until) {
      this.#search = undefined;
      return;
    }
    const elapsed = Math.min(now - search.began, growth);
    // The cluster may be slow as a whole: the longer nobody answers, the more time they get.
    for (const endpoint of this.#keeper.candidates()) void this.#ask(search, endpoint, elapsed);
    const pause = Math.max(leastPause, elapsed / 20);
    this.#stopAsking = this.#clock.after(pause, () => this.#askAll(search));
  }

  async #ask(search: Search, endpoint: Endpoint, atLeast: number): Promise<void> {
    if (!(await this.#keeper.isWell(endpoint, atLeast))) return;
    search.well.add(endpoint);
    const isFirst = this.#search === search;
    this.#keeper.found(endpoint, isFirst);
    if (!isFirst) return;
    this.#search = undefined;
    this.#stopAsking();
    this.#stopGrace();
    void this.#judge(search, endpoint);
  }

  /** Has answers not be waited for that are not coming. */
  async #judge({ began, well }: Search, found: Endpoint): Promise<void> {
    const now = this.#clock.now();
    const isOutage = now - began > prompt;
    if (isOutage) this.#recovered = now;
    let isLast = true;
    this.#stopGrace = () => {
      isLast = false;
    };
    // What was sent before this is answered before this, however far away they are, or not at all.
    await this.#keeper.isWell(found, now - began);
    if (!isLast) return;
    // The others may be well by now, but have had the time for what was sent in an outage.
    if (isOutage) this.#keeper.abandon((each, since) => each !== found && since < now);
    this.#stopGrace = this.#clock.after(grace, () =>
      // Who was well all along still answers what was sent before.
      this.#keeper.abandon((each, since) => !well.has(each) || since < this.#recovered),
    );
  }
}
