import type { Clock } from '../core/time/clock.js';
import { type Deferred, deferred } from '../core/time/deferred.js';

/** Milliseconds after which it goes back, if nothing was taken up meanwhile: others may have more time for it. */
const patience = 20;
/** How much of an average the last one is. */
const weight = 1 / 8;

/** Where it comes from, and goes. */
export interface Supply<Item> {
  /** Waits for some: gives none where that is to end. */
  take(most: number): Promise<readonly Item[]>;
  /** It was not taken up. */
  giveBack(items: readonly Item[]): Promise<unknown>;
}

/**
 * What a consumer has taken for its handlers, in its order. Where they take less time than an acknowledgement, it takes as many for
 * each of them as that can handle meanwhile: so it is not etcd that they wait for. Where they take longer nothing is kept from others.
 */
export class Hand<Item> {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #supply: Supply<Item>;
  #items: Item[] = [];
  /** Those who have nothing to do; for each of them some are being taken. */
  readonly #free: Deferred<Item | undefined>[] = [];
  readonly #takes = new Set<Promise<void>>();
  #isWatched = false;
  /** When one was taken up last. */
  #movedAt = 0;
  #returned: Promise<void> = Promise.resolve();
  /** Milliseconds that a handler takes, and an acknowledgement, about. */
  #handling = Number.NaN;
  #ending = Number.NaN;

  /** @param limit - how many are to be taken for one handler at most: one always is */
  constructor(clock: Clock, limit: number, supply: Supply<Item>) {
    this.#clock = clock;
    this.#limit = Math.max(1, limit);
    this.#supply = supply;
  }

  /** Whether nothing has to wait for a handler. */
  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  /** How many are to be taken for one handler that is free. */
  get most(): number {
    const most = Math.floor(this.#ending / this.#handling);
    return most > 1 ? Math.min(most, this.#limit) : 1;
  }

  /** One handler has taken so many milliseconds. */
  handled(ms: number): void {
    this.#handling = averaged(this.#handling, ms);
  }

  /** One acknowledgement has taken so many milliseconds: what takes longer than usual is no reason to keep others waiting. */
  ended(ms: number): void {
    this.#ending = averaged(this.#ending, Math.min(ms, patience));
  }

  /** The next to be handled; `undefined` where none is to be waited for any more. @throws what taking throws */
  async next(): Promise<Item | undefined> {
    // Where a handler let nothing else happen, the timer is late.
    this.#check();
    const item = this.#items.shift();
    if (item !== undefined) {
      this.#movedAt = this.#clock.now();
      return item;
    }
    const free = deferred<Item | undefined>();
    this.#free.push(free);
    if (this.#takes.size < this.#free.length) void this.#take();
    return free.promise;
  }

  /** Gives back what nobody has taken up; resolves when all is that was ever to go. */
  empty(): Promise<void> {
    const items = this.#items;
    this.#items = [];
    if (items.length > 0) this.#returned = this.#giveBack(items);
    return this.#returned;
  }

  /** The same where no more is to be taken: for what is still being taken, too. */
  async close(): Promise<void> {
    await Promise.all([...this.#takes, this.empty()]);
    await this.empty();
  }

  /** Resolves with nothing: or each would keep what came of all before. */
  async #giveBack(items: readonly Item[]): Promise<void> {
    await Promise.all([this.#returned, this.#supply.giveBack(items)]);
  }

  async #take(): Promise<void> {
    const over = deferred<void>();
    this.#takes.add(over.promise);
    try {
      // What goes back comes before all that is taken then.
      await this.#returned;
      const items = await this.#supply.take(this.most);
      this.#takes.delete(over.promise);
      if (items.length === 0) this.#free.shift()?.resolve(undefined);
      else this.#add(items);
    } catch (error) {
      this.#takes.delete(over.promise);
      this.#free.shift()?.reject(error);
    }
    over.resolve();
  }

  #add(items: readonly Item[]): void {
    this.#items.push(...items);
    this.#movedAt = this.#clock.now();
    for (const free of this.#free.splice(0, this.#items.length)) free.resolve(this.#items.shift());
    if (this.#items.length > 0) this.#watch(patience);
  }

  /** Has them go back once nothing was taken up for a while. */
  #watch(ms: number): void {
    if (this.#isWatched) return;
    this.#isWatched = true;
    this.#clock.after(ms, () => {
      this.#isWatched = false;
      const since = this.#check();
      if (this.#items.length > 0) this.#watch(patience - since);
    });
  }

  /** Has them go back if it is time. Gives for how many milliseconds nothing was taken up. */
  #check(): number {
    const since = this.#clock.now() - this.#movedAt;
    if (this.#items.length > 0 && since >= patience) {
      this.handled(since);
      void this.empty();
    }
    return since;
  }
}

function averaged(average: number, last: number): number {
  return Number.isNaN(average) ? last : average + (last - average) * weight;
}
