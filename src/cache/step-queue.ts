import { type Deferred, deferred } from '../core/time/deferred.js';
import { abortable } from '../core/time/signals.js';
import { changeOf } from './change.js';
import type { MirrorChange, MirrorStep } from './mirror-options.js';

/** What a loop has yet to be given: at most one change for each key, which stands for all that it had. */
export class StepQueue<T> {
  readonly #changes = new Map<string, MirrorChange<T>>();
  #first: MirrorStep<T> | undefined;
  #revision = 0n;
  #more: Deferred<void> = deferred();

  /** @param first - what the loop is given first */
  constructor(first: MirrorStep<T>) {
    this.#first = first;
  }

  push({ revision, changes }: MirrorStep<T>): void {
    this.#revision = revision;
    for (const change of changes) {
      const earlier = this.#changes.get(change.key);
      const merged = earlier ? changeOf(earlier.previous, change.entry) : change;
      this.#changes.delete(change.key);
      if (merged) this.#changes.set(change.key, merged);
    }
    if (this.#changes.size > 0) this.#more.resolve();
  }

  /** All that waits, as one step. @throws the reason of `signal`. */
  async take(signal: AbortSignal): Promise<MirrorStep<T>> {
    const first = this.#first;
    this.#first = undefined;
    if (first) return first;
    while (this.#changes.size === 0) {
      this.#more = deferred();
      await abortable(this.#more.promise, signal);
    }
    signal.throwIfAborted();
    const step = { revision: this.#revision, changes: [...this.#changes.values()] };
    this.#changes.clear();
    return step;
  }
}
