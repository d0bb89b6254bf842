import type { Amount } from '../namespace/contents.js';
import { covers, none, plus } from './charge.js';

/** More than a write needs is taken at once, so that most writes need nothing: so much, or a part of what is left. */
const ahead: Amount = { keys: 1_000, bytes: 4 * 2 ** 20 };
const part = 8;

/** What is taken beyond what is needed. */
export function moreThan(need: Amount, room: Amount): Amount {
  const of = (what: keyof Amount): number =>
    Math.max(0, Math.min(ahead[what], Math.floor((room[what] - need[what]) / part)));
  return { keys: of('keys'), bytes: of('bytes') };
}

/** By how much a process may have what a tenant has grow. Writes count only while its key is there as it was put. */
export class Share {
  readonly id: string;
  /** The create revision of its key. */
  readonly revision: bigint;
  /** Of what is on its way: in the worst case. */
  #onTheirWay: Amount = none;
  /** What came of what was answered, since the ledger was told. */
  #done: Amount = none;
  #left: Amount;
  /** Whether its key may be gone, or what the ledger has of it is not known. */
  isOver = false;
  /** Whether the ledger is just being asked for more: what is left is not known then. */
  isPaused = false;

  constructor(id: string, revision: bigint, left: Amount) {
    this.id = id;
    this.revision = revision;
    this.#left = left;
  }

  /** Takes what a write needs, if that is left. */
  take(charge: Amount): boolean {
    if (this.isOver || this.isPaused || !covers(this.#left, charge)) return false;
    this.#left = plus(this.#left, charge, -1);
    this.#onTheirWay = plus(this.#onTheirWay, charge);
    return true;
  }

  /** What was taken came to this; to all of it, where nobody knows. */
  settle(charge: Amount, change: Amount = charge): void {
    this.#onTheirWay = plus(this.#onTheirWay, charge, -1);
    this.#done = plus(this.#done, change);
    this.#left = plus(this.#left, plus(charge, change, -1));
  }

  /** What the ledger is to be told: what was done, and what is on its way. */
  get report(): { readonly done: Amount; readonly onTheirWay: Amount } {
    return { done: this.#done, onTheirWay: this.#onTheirWay };
  }

  /** The ledger has heard this report, and has so much for us beyond what was on its way then. */
  renew({ done, onTheirWay }: Share['report'], left: Amount): void {
    this.#done = plus(this.#done, done, -1);
    // What was answered meanwhile was not as much as was reserved for it.
    const answered = plus(onTheirWay, this.#onTheirWay, -1);
    this.#left = plus(left, plus(answered, this.#done, -1));
  }
}
