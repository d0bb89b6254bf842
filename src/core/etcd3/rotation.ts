import { Backoff } from '../time/backoff.js';
import type { Clock } from '../time/clock.js';
import { tell } from '../trace.js';
import type { Endpoint } from './endpoint.js';
import { type IsAbandoned, Lookout } from './lookout.js';

/** How long an endpoint that failed is left alone before it is asked whether it is well again, in milliseconds. */
const firstPause = 500;
const longestPause = 30_000;

/** Finds out whether an endpoint that failed can be used again, in the time of an attempt or `atLeast` so many milliseconds. */
export type IsWell = (endpoint: Endpoint, atLeast?: number) => Promise<boolean>;

/** What keeps an endpoint out of use. */
interface Aside {
  since: number;
  readonly pause: Backoff;
  stop(): void;
}

/**
 * Which endpoint of a cluster is used. Stays with one while it answers; when that fails it is set aside, and the next takes
 * its place, but only until one has proven to be well. Who was set aside is used again once it has, or where nobody else
 * is left.
 */
export class Rotation {
  /** Told of every endpoint that is set aside or gone. */
  readonly onSetAside: Set<(endpoint: Endpoint) => void> = new Set();
  /** Told which answers are not to be waited for any longer. */
  readonly onAbandon: Set<(isAbandoned: IsAbandoned) => void> = new Set();
  readonly #clock: Clock;
  readonly #isWell: IsWell;
  readonly #lookout: Lookout;
  readonly #aside = new Map<Endpoint, Aside>();
  #endpoints: readonly Endpoint[];
  #current = 0;

  constructor(endpoints: readonly Endpoint[], clock: Clock, isWell: IsWell) {
    this.#endpoints = endpoints;
    this.#clock = clock;
    this.#isWell = isWell;
    this.#lookout = new Lookout(clock, {
      candidates: () => this.#inTurn,
      isWell,
      found: (endpoint, isFirst) => {
        this.takeBack(endpoint);
        if (isFirst) this.#current = Math.max(0, this.#endpoints.indexOf(endpoint));
      },
      abandon: (isAbandoned) => {
        for (const hear of this.onAbandon) hear(isAbandoned);
      },
    });
  }

  /** All of them, in the order of their turns. */
  get endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  /** The one to use: the present one if it is well, or the next that is; where none is, the one set aside first. */
  best(tried: ReadonlySet<Endpoint> = new Set()): Endpoint | undefined {
    const inTurn = this.#inTurn;
    const open = inTurn.filter((endpoint) => !tried.has(endpoint));
    const since = (endpoint: Endpoint): number => this.#aside.get(endpoint)?.since ?? 0;
    return (
      open.find((endpoint) => !this.#aside.has(endpoint)) ??
      open.toSorted((a, b) => since(a) - since(b))[0] ??
      inTurn[0]
    );
  }

  /** Makes the best one the present one. */
  pick(tried?: ReadonlySet<Endpoint>): Endpoint | undefined {
    const best = this.best(tried);
    if (best) this.#current = this.#endpoints.indexOf(best);
    return best;
  }

  /** Whether there is no other endpoint to go to. */
  get isSingle(): boolean {
    return this.#endpoints.length < 2;
  }

  /** Whether an endpoint is out of use. */
  isAside(endpoint: Endpoint): boolean {
    return this.#aside.has(endpoint);
  }

  /** An endpoint failed. Calls that fail together count once. */
  setAside(endpoint: Endpoint): void {
    if (!this.#endpoints.includes(endpoint)) return;
    const known = this.#aside.get(endpoint);
    // Where all are aside, the others have their turn first.
    if (known) known.since = this.#clock.now();
    else this.#putAside(endpoint);
    const present = this.#endpoints[this.#current];
    if (present && this.isAside(present)) this.#lookout.begin();
  }

  /** An endpoint answered. */
  takeBack(endpoint: Endpoint): void {
    const aside = this.#aside.get(endpoint);
    if (!aside) return;
    aside.stop();
    this.#aside.delete(endpoint);
    tell('endpoint', () => ({ endpoint: endpoint.name, state: 'back' }));
  }

  /** From now on these are the endpoints. Those that are gone are left by who uses them. */
  replace(endpoints: readonly Endpoint[]): readonly Endpoint[] {
    const present = this.#endpoints[this.#current];
    const gone = this.#endpoints.filter((endpoint) => !endpoints.includes(endpoint));
    const wasAlone = this.isSingle;
    this.#endpoints = endpoints;
    this.#current = Math.max(0, present ? endpoints.indexOf(present) : 0);
    for (const endpoint of gone) {
      this.takeBack(endpoint);
      for (const leave of this.onSetAside) leave(endpoint);
    }
    if (wasAlone) for (const [endpoint, aside] of this.#aside) this.#askLater(endpoint, aside);
    return gone;
  }

  /** Asks nobody any more. */
  close(): void {
    this.#lookout.close();
    for (const endpoint of this.#aside.keys()) this.takeBack(endpoint);
  }

  get #inTurn(): Endpoint[] {
    const { length } = this.#endpoints;
    return this.#endpoints.map((_, i) => this.#endpoints[(this.#current + i) % length] as Endpoint);
  }

  #putAside(endpoint: Endpoint): void {
    const aside = {
      since: this.#clock.now(),
      pause: new Backoff(firstPause, longestPause),
      stop: () => {},
    };
    this.#aside.set(endpoint, aside);
    this.#askLater(endpoint, aside);
    tell('endpoint', () => ({ endpoint: endpoint.name, state: 'aside' }));
    for (const leave of this.onSetAside) leave(endpoint);
  }

  /** A single endpoint is used whether it is well or not. */
  #askLater(endpoint: Endpoint, aside: Aside): void {
    if (this.isSingle) return;
    const wait = firstPause / 2 + aside.pause.next();
    aside.stop = this.#clock.after(wait, () => void this.#ask(endpoint, aside));
  }

  async #ask(endpoint: Endpoint, aside: Aside): Promise<void> {
    const isWell = await this.#isWell(endpoint);
    if (this.#aside.get(endpoint) !== aside) return;
    if (isWell) this.takeBack(endpoint);
    else this.#askLater(endpoint, aside);
  }
}
