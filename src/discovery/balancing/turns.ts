import { type Timed, TimerQueue } from '../../core/time/timer-queue.js';
import type { Member } from './member.js';
import type { PickOptions, Policy } from './policy.js';

/** When a member is next. */
interface Place extends Timed {
  readonly member: Member;
  readonly weight: number;
  /** The last list that it was on. */
  list: readonly Member[];
  /** When it came, and how many turns it has had since. */
  readonly since: number;
  turns: number;
  at: number;
}

/**
 * One after the other, each as often as its weight says: whoever is due earliest, and then again after the inverse of its
 * weight (earliest deadline first, as in Envoy). In each cycle, counted from any change, everybody has exactly his share, evenly
 * spread, as with the smooth weighted round robin of nginx, for the logarithm of their number instead of all of them. Everybody
 * begins at a random point of his period, so that many processes do not go round in step.
 */
export class Turns implements Policy {
  readonly #weightOf: (member: Member) => number;
  readonly #random: () => number;
  readonly #queue = new TimerQueue<Place>();
  readonly #places = new Map<Member, Place>();
  /** In cycles. */
  #now = 0;

  constructor(weightOf: (member: Member) => number, random: () => number) {
    this.#weightOf = weightOf;
    this.#random = random;
  }

  use(members: readonly Member[]): void {
    for (const member of members) {
      const place = this.#places.get(member);
      if (place?.weight === this.#weightOf(member)) place.list = members;
      else this.#add(member, members, place);
    }
    if (this.#places.size === members.length) return;
    for (const place of this.#places.values()) if (place.list !== members) this.#remove(place);
  }

  pick({ avoid }: PickOptions): Member | undefined {
    const passed: Place[] = [];
    const queue = this.#queue;
    let place = queue.next;
    for (; place && avoid?.has(place.member.instance.id); place = queue.next) {
      queue.shift();
      passed.push(place);
    }
    if (place) this.#take(place);
    for (const one of passed) queue.add(one);
    return place?.member;
  }

  #take(place: Place): void {
    this.#queue.shift();
    // Who was passed over is due since longer.
    this.#now = Math.max(this.#now, place.at);
    place.turns += 1;
    place.at = place.since + place.turns / place.weight;
    this.#queue.add(place);
  }

  #add(member: Member, list: readonly Member[], former: Place | undefined): void {
    if (former) this.#remove(former);
    const weight = this.#weightOf(member);
    const since = this.#now + this.#random() / weight;
    const place = { member, weight, list, since, turns: 0, at: since, turn: 0, place: 0 };
    this.#places.set(member, place);
    this.#queue.add(place);
  }

  #remove(place: Place): void {
    this.#places.delete(place.member);
    this.#queue.remove(place);
  }
}
