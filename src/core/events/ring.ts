/** One who is in the list, between others; beside himself, who is not. */
interface Link<T> {
  readonly value: T;
  before: Link<T>;
  after: Link<T>;
}

/** Members in the order in which they came. Where they come and go by the thousands, a `Set` costs several times as much. */
export class Ring<T> {
  /** Stands before the first and after the last. */
  readonly #ends: Link<T | undefined> = linkOf(undefined);

  /** Whether nobody is in it. */
  get isEmpty(): boolean {
    return this.#ends.after === this.#ends;
  }

  /** Adds a member. The function returned takes it out, and says whether it was still in. */
  add(value: T): () => boolean {
    const link = linkOf<T | undefined>(value);
    join(this.#ends.before, link);
    join(link, this.#ends);
    return () => {
      const isIn = link.after !== link;
      join(link.before, link.after);
      // Whoever keeps the function does not keep those who came later.
      join(link, link);
      return isIn;
    };
  }

  /** Calls `visit` for each who is in it now, unless he is taken out before his turn. */
  forEach(visit: (value: T) => void): void {
    const present: Link<T | undefined>[] = [];
    for (let link = this.#ends.after; link !== this.#ends; link = link.after) present.push(link);
    for (const link of present) if (link.after !== link) visit(link.value as T);
  }
}

function linkOf<T>(value: T): Link<T> {
  const link = { value } as Link<T>;
  join(link, link);
  return link;
}

function join<T>(before: Link<T>, after: Link<T>): void {
  before.after = after;
  after.before = before;
}
