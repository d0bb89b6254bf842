import { randomUUID } from 'node:crypto';
import type { Coordinator } from '../coordinator.js';
import type { Hold } from '../core/line/hold.js';
import { prefixRange } from '../core/store/keys.js';
import type { Store } from '../core/store/store.js';
import type { WaitOptions } from '../core/time/signals.js';
import { waitFor } from './wait-for.js';

/** A recipe that gives a hold to one at a time, first come first served. */
export interface HoldRecipe {
  /** Waits for the hold, as `Mutex.acquire` does. */
  acquire(wait?: WaitOptions): Promise<Hold>;
  /** Gives the hold, or `undefined` if somebody has it or waits for it, as `Mutex.tryAcquire` does. */
  tryAcquire(wait?: WaitOptions): Promise<Hold | undefined>;
}

/** How the suite gets at a recipe that gives holds. */
export interface HoldSuiteOptions {
  /**
   * A coordinator with a session of its own, as another process would have. Its case closes it; what lies behind a
   * namespace, which closes nothing but its session, is yours to close.
   */
  connect(): Promise<Coordinator>;
  /** The recipe of that name. */
  make(coordinator: Coordinator, name: string): HoldRecipe;
  /** Where the contenders for that name keep their keys, one each and no others, as the recipe sees them. */
  folder(name: string): string;
  /** The etcd behind it, without a namespace, by a connection that no fault touches. The suite does not close it. */
  readonly admin: Store;
  /** What stands before the recipe's keys in etcd, such as the prefix of a namespace. @defaultValue none */
  readonly prefix?: string;
  /** Whether answers get lost: then nobody can tell a release from a deletion by others just before it. @defaultValue `false` */
  readonly lossy?: boolean;
  /** How long a case waits for something to come about before it fails, in milliseconds of real time. @defaultValue 20,000 */
  readonly timeout?: number;
}

/** A test of the hold suite. */
export interface HoldCase {
  readonly name: string;
  run(bench: HoldBench): Promise<void>;
}

/** Two contenders with a session each. */
export interface Pair {
  readonly first: HoldRecipe;
  readonly second: HoldRecipe;
  /** The coordinator of `first`. */
  readonly a: Coordinator;
  /** The coordinator of `second`. */
  readonly b: Coordinator;
}

/** A recipe under test, by a name that nobody else uses, for one case. */
export class HoldBench {
  readonly admin: Store;
  readonly lossy: boolean;
  /** A key for transactions under a hold, as the recipe sees it. */
  readonly target: string;
  readonly #options: HoldSuiteOptions;
  readonly #name = `hold-suite-${randomUUID()}`;
  readonly #coordinators: Coordinator[] = [];

  constructor(options: HoldSuiteOptions) {
    this.#options = options;
    this.admin = options.admin;
    this.lossy = options.lossy ?? false;
    this.target = `target/${this.#name}`;
  }

  async connect(): Promise<Coordinator> {
    const coordinator = await this.#options.connect();
    this.#coordinators.push(coordinator);
    return coordinator;
  }

  make(coordinator: Coordinator): HoldRecipe {
    return this.#options.make(coordinator, this.#name);
  }

  async pair(): Promise<Pair> {
    const [a, b] = [await this.connect(), await this.connect()];
    return { first: this.make(a), second: this.make(b), a, b };
  }

  /** How many contenders there are. */
  async contenders(): Promise<number> {
    const folder = this.#outside(this.#options.folder(this.#name));
    return (await this.admin.read(prefixRange(folder))).count;
  }

  /** Waits until there are so many contenders. */
  queued(count: number): Promise<void> {
    return this.until(`${count} in line`, async () => (await this.contenders()) === count);
  }

  /** Waits for something by its name. */
  async until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    try {
      await waitFor(condition, { timeout: this.#options.timeout ?? 20_000 });
    } catch (cause) {
      throw new Error(`waited in vain: ${what}`, { cause });
    }
  }

  /** Deletes the key of a hold behind its back. */
  async remove(hold: Hold): Promise<void> {
    await this.admin.commit({ success: [{ delete: { key: this.#outside(hold.key) } }] });
  }

  /** What was written to `target`. */
  async written(): Promise<string | undefined> {
    const { kvs } = await this.admin.read({ key: this.#outside(this.target) });
    return kvs[0]?.value.toString();
  }

  /** Ends the sessions, which frees their keys, and the connections. */
  async close(): Promise<void> {
    for (const coordinator of this.#coordinators) {
      await coordinator.session.close(0);
      await coordinator.close(0);
    }
    await this.admin.commit({ success: [{ delete: { key: this.#outside(this.target) } }] });
  }

  #outside(key: string): string {
    return `${this.#options.prefix ?? ''}${key}`;
  }
}
