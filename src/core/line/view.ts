/** So many rivals are listed, besides those that may be let in together; more take time on both ends. */
export const listed = 8;

/** What is known of a line. */
export interface ViewParts {
  readonly revision: bigint;
  /** The rivals before us, by `keyId`, and how much each takes: all of them or, in a long line, those nearest to us. */
  readonly ahead: Map<string, number>;
  /** The one right before us, when the line was read: its key by `keyId`, and the create revision. */
  readonly nearest: { readonly id: string; readonly token: bigint } | undefined;
  /** Whether that is all of them. */
  readonly complete: boolean;
  /** How much is let in at once. */
  readonly capacity: number;
}

/** What a contender knows of a line at one revision, at which its own key was there. Kept up to date in place. */
export class View {
  revision: bigint;
  readonly capacity: number;
  readonly nearest: ViewParts['nearest'];
  readonly complete: boolean;
  readonly #ahead: Map<string, number>;
  #load = 0;

  constructor({ revision, ahead, nearest, complete, capacity }: ViewParts) {
    this.revision = revision;
    this.capacity = capacity;
    this.nearest = nearest;
    this.complete = complete;
    this.#ahead = ahead;
    for (const weight of ahead.values()) this.#load += weight;
  }

  /** The rivals before us, by `keyId`, and how much each takes. */
  get ahead(): ReadonlyMap<string, number> {
    return this.#ahead;
  }

  /** Whether it is our turn, who take so much. */
  lets(weight: number): boolean {
    return this.complete && this.#load + weight <= this.capacity;
  }

  /** Whether there is something to do: it is our turn; or too few are left of those listed, and the others must be learned of. */
  isRipe(weight: number): boolean {
    const spare = this.complete ? 0 : listed / 2;
    return this.#load + weight <= this.capacity + spare;
  }

  leave(id: string): void {
    this.#load -= this.#ahead.get(id) ?? 0;
    this.#ahead.delete(id);
  }
}
