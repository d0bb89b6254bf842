import { deferred } from '../time/deferred.js';
import type { Known } from './stm-reads.js';

/** A place in the lines for some keys. */
export interface Turn {
  /** Resolves when everybody who came before and wants one of these keys has left. */
  readonly granted: Promise<void>;
  /** What those before knew of the keys when they left; never older than this place. */
  readonly known: Known | undefined;
  /** Whether it stands for all these keys. */
  covers(ids: Iterable<string>): boolean;
  /** Resolves `granted`, whoever is ahead. */
  skip(): void;
  /** Call it before sending that whose outcome `leave` hands on: whoever joins later is not told. */
  prepare(): void;
  /** Lets the next in, and hands on what is known. */
  leave(known?: Known): void;
}

interface Place {
  readonly number: number;
  readonly ids: ReadonlySet<string>;
  readonly admit: () => void;
  known?: Known;
}

/**
 * Has the transactions of this process that met in conflict take turns, first come, first served. Places in
 * the lines for several keys are taken at once, so nobody waits for somebody who waits for them.
 */
export class Turns {
  readonly #lines = new Map<string, Place[]>();
  #count = 0;

  /** Whether somebody has or awaits the turn for one of these keys. */
  isBusy(ids: readonly string[]): boolean {
    return ids.some((id) => this.#lines.has(id));
  }

  /** Joins the lines for these keys. */
  join(ids: Iterable<string>): Turn {
    const granted = deferred<void>();
    const skip = (): void => granted.resolve();
    const place: Place = { number: (this.#count += 1), ids: new Set(ids), admit: skip };
    for (const id of place.ids) {
      const line = this.#lines.get(id);
      if (line) line.push(place);
      else this.#lines.set(id, [place]);
    }
    this.#admit(place);
    let prepared = 0;
    return {
      granted: granted.promise,
      get known() {
        return place.known;
      },
      covers: (others) => [...others].every((id) => place.ids.has(id)),
      skip,
      prepare: () => {
        prepared = this.#count;
      },
      leave: (known) => this.#leave(place, known, prepared),
    };
  }

  #leave(place: Place, known: Known | undefined, prepared: number): void {
    for (const id of place.ids) {
      const line = this.#lines.get(id);
      const index = line?.indexOf(place) ?? -1;
      if (!line || index < 0) continue;
      line.splice(index, 1);
      const [next] = line;
      if (!next) {
        this.#lines.delete(id);
        continue;
      }
      // Who came later must not be told what may be from before.
      if (known && next.number <= prepared) next.known = known;
      this.#admit(next);
    }
  }

  #admit(place: Place): void {
    if ([...place.ids].every((id) => this.#lines.get(id)?.[0] === place)) place.admit();
  }
}
