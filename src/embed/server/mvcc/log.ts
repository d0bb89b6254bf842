import type { Version } from './version.js';

/** All changes that are remembered, in the order in which they were made. */
export class Log {
  #changes: Version[] = [];

  get length(): number {
    return this.#changes.length;
  }

  append(change: Version): void {
    this.#changes.push(change);
  }

  /** Takes the last change back. */
  drop(): Version | undefined {
    return this.#changes.pop();
  }

  at(index: number): Version | undefined {
    return this.#changes[index];
  }

  /** The index of the first change at or after `revision`. */
  indexOf(revision: number): number {
    let [low, high] = [0, this.#changes.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#changes[middle] as Version).mod < revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * Forgets what happened up to `revision`. Of that revision itself, the last change of each key stays, for
   * watches that begin there.
   *
   * @param onLast - told of the last change of each key up to `revision`
   */
  compact(revision: number, onLast: (change: Version) => void): void {
    const end = this.indexOf(revision + 1);
    const seen = new Set<string>();
    const kept: Version[] = [];
    for (let index = end - 1; index >= 0; index -= 1) {
      const change = this.#changes[index] as Version;
      if (seen.has(change.key)) continue;
      seen.add(change.key);
      onLast(change);
      if (change.mod === revision) kept.push(change);
    }
    this.#changes = kept.toReversed().concat(this.#changes.slice(end));
  }
}
