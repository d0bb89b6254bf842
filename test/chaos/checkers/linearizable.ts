/** An operation on one register. */
export interface RegisterOperation {
  readonly id: string;
  /** A failed compare-and-set is a read of what it found. */
  readonly kind: 'read' | 'write' | 'cas';
  /** What was read, or written. */
  readonly value: string | null;
  /** What a compare-and-set found there. */
  readonly expect?: string | null;
  readonly invoked: number;
  /** `Infinity` where nobody knows whether it was ever applied. */
  readonly completed: number;
}

/** Whether there is an order in which one register could have done it all, each between its call and its answer. */
export type Linearizability = 'yes' | 'no' | 'undecided';

const STEPS = 200_000;

/**
 * The search of Wing and Gong, with Lowe's memory of what was tried. What is open for ever, and whose value nobody ever
 * saw, may as well not have happened.
 */
export function linearizability(
  history: readonly RegisterOperation[],
  most: number = STEPS,
): Linearizability {
  const seen = new Set<string | null>();
  for (const { kind, value, expect } of history) {
    if (kind === 'read') seen.add(value);
    if (kind === 'cas') seen.add(expect ?? null);
  }
  const operations = history
    .filter(({ completed, value }) => completed !== Number.POSITIVE_INFINITY || seen.has(value))
    .toSorted((a, b) => a.invoked - b.invoked);
  return new Search(operations).run(most);
}

interface Value {
  readonly value: string | null;
}

interface Choice {
  readonly index: number;
  readonly state: string | null;
  /** Whether nothing else need be tried in its place. */
  readonly forced: boolean;
}

/** A search through the orders in which operations may have taken effect. */
class Search {
  readonly #operations: readonly RegisterOperation[];
  readonly #done: Uint8Array;
  readonly #chosen: Choice[] = [];
  readonly #tried = new Set<string>();
  #taken = 0n;
  #state: string | null = null;
  /** All before are done. */
  #first = 0;
  /** Whatever was called before the earliest answer that is still due may be next. */
  #deadline = 0;
  /** How many are to be done that have an answer. */
  #required: number;

  constructor(operations: readonly RegisterOperation[]) {
    this.#operations = operations;
    this.#done = new Uint8Array(operations.length);
    this.#required = operations.filter(({ completed }) => Number.isFinite(completed)).length;
  }

  run(most: number): Linearizability {
    this.#move();
    let index = this.#first;
    for (let steps = 0; this.#required > 0; steps += 1) {
      if (steps >= most) return 'undecided';
      // A read that fits may as well come now: it changes nothing for the others.
      const read = this.#fittingRead();
      if (read !== undefined) {
        this.#take(read, this.#state, true);
        index = this.#first;
        continue;
      }
      const operation = this.#operations[index];
      if (operation && operation.invoked <= this.#deadline) {
        const after = this.#done[index] ? undefined : apply(operation, this.#state);
        if (after && this.#isNew(index, after.value)) {
          this.#take(index, after.value, false);
          index = this.#first;
        } else index += 1;
        continue;
      }
      let last = this.#giveBack();
      while (last?.forced) last = this.#giveBack();
      if (!last) return 'no';
      index = last.index + 1;
    }
    return 'yes';
  }

  #fittingRead(): number | undefined {
    for (let i = this.#first; i < this.#operations.length; i += 1) {
      const { kind, value, invoked } = this.#operations[i] as RegisterOperation;
      if (invoked > this.#deadline) return undefined;
      if (!this.#done[i] && kind === 'read' && value === this.#state) return i;
    }
    return undefined;
  }

  #isNew(index: number, value: string | null): boolean {
    const configuration = `${(this.#taken | (1n << BigInt(index))).toString(36)} ${value}`;
    if (this.#tried.has(configuration)) return false;
    this.#tried.add(configuration);
    return true;
  }

  #take(index: number, value: string | null, forced: boolean): void {
    this.#chosen.push({ index, state: this.#state, forced });
    this.#state = value;
    this.#mark(index, 1);
  }

  #giveBack(): Choice | undefined {
    const last = this.#chosen.pop();
    if (last) {
      this.#state = last.state;
      this.#mark(last.index, 0);
    }
    return last;
  }

  #mark(index: number, done: 0 | 1): void {
    this.#done[index] = done;
    this.#taken ^= 1n << BigInt(index);
    if (Number.isFinite(this.#operations[index]?.completed)) this.#required -= done ? 1 : -1;
    if (!done) this.#first = Math.min(this.#first, index);
    this.#move();
  }

  #move(): void {
    while (this.#done[this.#first]) this.#first += 1;
    this.#deadline = Number.POSITIVE_INFINITY;
    for (let i = this.#first; i < this.#operations.length; i += 1) {
      const { invoked, completed } = this.#operations[i] as RegisterOperation;
      if (invoked > this.#deadline) break;
      if (!this.#done[i] && completed < this.#deadline) this.#deadline = completed;
    }
  }
}

/** The value after an operation; nothing if it could not have given what it gave. */
function apply(
  { kind, value, expect }: RegisterOperation,
  state: string | null,
): Value | undefined {
  if (kind === 'write') return { value };
  if (kind === 'read') return value === state ? { value: state } : undefined;
  return expect === state ? { value } : undefined;
}
