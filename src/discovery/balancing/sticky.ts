import { hashOf, mixed } from '../../core/hash.js';
import { nonEmpty } from '../../core/validate.js';
import type { Member } from './member.js';
import type { PickOptions, Policy } from './policy.js';

/**
 * For each key the member that draws the best lot for it, the same in every process: rendezvous hashing (Thaler and
 * Ravishankar, 1998), with weights by the logarithmic method (Schindelhauer and Schomaker, 2005). When one goes only its
 * keys move, to all others by their weights; when one comes it takes its share of each. Looks at all of them for each pick.
 */
export class Sticky implements Policy {
  #members: readonly Member[] = [];
  #hashes = new Int32Array();
  #weights = new Float64Array();

  use(members: readonly Member[]): void {
    this.#members = members;
    this.#hashes = Int32Array.from(members, ({ instance }) => hashOf(instance.id));
    this.#weights = Float64Array.from(members, ({ weight }) => weight);
  }

  /** @throws ArgumentError without a key. */
  pick({ key, avoid }: PickOptions): Member | undefined {
    const bits = hashOf(nonEmpty('key', key as string));
    const [hashes, weights] = [this.#hashes, this.#weights];
    let best: Member | undefined;
    let highest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < hashes.length; i += 1) {
      const weight = weights[i] as number;
      const chance = (mixed((hashes[i] as number) ^ bits) + 0.5) / 2 ** 32;
      // Spares most of them the logarithm, which is less.
      if ((chance - 1) / weight <= highest) continue;
      const lot = Math.log(chance) / weight;
      const member = this.#members[i] as Member;
      if (lot <= highest || avoid?.has(member.instance.id)) continue;
      best = member;
      highest = lot;
    }
    return best;
  }
}
