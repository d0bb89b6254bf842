import type * as kv from '../../../src/embed/server/wire/kv.js';
import type { Trial } from './trial.js';

/** What goes on outside of a tenant, and what an operator does to it, meanwhile. */
export class Others {
  readonly #random: () => number;
  readonly #trial: Trial;
  readonly #walls: readonly string[];
  readonly #leases: readonly bigint[];

  constructor(
    random: () => number,
    trial: Trial,
    walls: readonly string[],
    leases: readonly bigint[],
  ) {
    this.#random = random;
    this.#trial = trial;
    this.#walls = walls;
    this.#leases = leases;
  }

  /** Puts a key, and gives the revision. */
  async put(key: string, lease = 0n): Promise<number> {
    const outcome = await this.#trial.both('KV.Put', { key, value: 'wall', lease });
    return 'reply' in outcome ? ((outcome.reply as kv.PutResponse).header?.revision ?? 0) : 0;
  }

  async step(): Promise<void> {
    const [key, id] = [this.#oneOf(this.#walls), this.#oneOf(this.#leases)];
    const kind = this.#random();
    // The last one has no keys: that it is there is all that a tenant can find out.
    if (kind < 0.3) await this.put(key);
    else if (kind < 0.5) await this.put(key, id === this.#leases.at(-1) ? 0n : id);
    else if (kind < 0.6) await this.put('tenants/a/x', id);
    else if (kind < 0.8) await this.#trial.both('KV.DeleteRange', { key });
    else if (kind < 0.9) await this.#trial.both('Lease.LeaseRevoke', { id });
    else
      for (const each of this.#leases)
        await this.#trial.both('Lease.LeaseGrant', { id: each, ttl: 600_000 });
  }

  #oneOf<T>(all: readonly T[]): T {
    return all[Math.floor(this.#random() * all.length)] as T;
  }
}
