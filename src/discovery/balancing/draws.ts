import type { Member } from './member.js';
import type { PickOptions, Policy } from './policy.js';

/**
 * So many at random, each as likely, and of these the one with the least to do for its weight. With two of them the longest line
 * is exponentially shorter than with one, and a third adds little (Mitzenmacher, "The Power of Two Choices in Randomized Load
 * Balancing", 2001); and unlike where all are compared, not everybody goes to the same idle one at once.
 */
export class Draws implements Policy {
  readonly #choices: number;
  readonly #random: () => number;
  #members: Member[] = [];

  constructor(choices: number, random: () => number) {
    this.#choices = choices;
    this.#random = random;
  }

  use(members: readonly Member[]): void {
    this.#members = [...members];
  }

  pick({ avoid }: PickOptions): Member | undefined {
    let best: Member | undefined;
    let left = this.#choices;
    for (let drawn = 0; left > 0 && drawn < this.#members.length; drawn += 1) {
      const member = this.#draw(drawn);
      if (avoid?.has(member.instance.id)) continue;
      left -= 1;
      if (!best || this.#isBetter(member, best)) best = member;
    }
    return best;
  }

  #isBetter(a: Member, b: Member): boolean {
    const difference = loadOf(a) - loadOf(b);
    if (difference !== 0 || a.weight === b.weight) return difference < 0;
    // Where there is little to do most are idle: then weights are chances.
    return this.#random() * (a.weight + b.weight) < a.weight;
  }

  /** One of those not drawn yet, which are from `drawn` on: the next step of a Fisher-Yates shuffle. */
  #draw(drawn: number): Member {
    const members = this.#members;
    const at = drawn + Math.floor(this.#random() * (members.length - drawn));
    const [member, other] = [members[at], members[drawn]] as [Member, Member];
    members[at] = other;
    members[drawn] = member;
    return member;
  }
}

function loadOf({ inFlight, weight }: Member): number {
  return inFlight / weight;
}
