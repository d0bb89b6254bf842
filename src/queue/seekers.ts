import { type Deferred, deferred } from '../core/time/deferred.js';
import type { Taken } from './steps.js';

/** How many jobs somebody wants. */
export interface Demand {
  readonly most: number;
  /** With so many nothing is taken that others are nearer to. @defaultValue `most` */
  readonly enough?: number;
}

/** Who waits for a job, or for several: it gets one at least. */
export interface Seeker extends Deferred<readonly Taken[]>, Demand {
  /** Whether jobs are being claimed for it. */
  isServed: boolean;
}

/** Those who wait for jobs, in their order. */
export class Seekers {
  readonly #waiting = new Set<Seeker>();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  add(demand: Demand): Seeker {
    const seeker = { ...deferred<readonly Taken[]>(), ...demand, isServed: false };
    this.#waiting.add(seeker);
    return seeker;
  }

  /** How many jobs are wanted that are not being claimed. @param together - the most that are claimed in one step */
  wanted(together: number): Required<Demand> {
    let [all, needed] = [0, 0];
    for (const { most, enough = most, isServed } of this.#waiting) {
      if (isServed) continue;
      all += Math.min(most, together);
      needed += Math.min(enough, together);
    }
    return { most: all, enough: needed };
  }

  /** Those whom the next step serves, where so many jobs are left; and how many of these. */
  serve(left: number, together: number): { readonly seekers: Seeker[]; readonly count: number } {
    const seekers: Seeker[] = [];
    let count = 0;
    for (const seeker of this.#waiting) {
      if (seeker.isServed) continue;
      const sum = count + Math.min(seeker.most, together);
      if (count >= left || sum > together) break;
      seeker.isServed = true;
      seekers.push(seeker);
      count = sum;
    }
    return { seekers, count };
  }

  /** A step that was to serve these is over: it brought `taken`. Gives what nobody wants. */
  hand(taken: readonly Taken[], seekers: readonly Seeker[]): Taken[] {
    const left = [...taken];
    for (const seeker of [...seekers, ...this.#waiting]) {
      if (left.length === 0) break;
      if (this.#waiting.delete(seeker)) seeker.resolve(left.splice(0, seeker.most));
    }
    for (const seeker of seekers) seeker.isServed = false;
    return left;
  }

  /** One of these gets nothing, if one waits still. */
  fail(error: unknown, seekers: readonly Seeker[]): void {
    const first = seekers.find((seeker) => this.#waiting.has(seeker));
    if (first) this.leave(first, error);
  }

  leave(seeker: Seeker, reason: unknown): void {
    this.#waiting.delete(seeker);
    seeker.reject(reason);
  }

  /** Nobody gets anything any more. */
  dismiss(reason: unknown): void {
    for (const seeker of this.#waiting) this.leave(seeker, reason);
  }
}
