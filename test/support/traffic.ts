import type { Store } from '../../src/index.js';
import { override } from './override.js';

/** What is asked of stores, and has no answer yet. */
export class Traffic {
  #open = 0;

  /** Whether everything was answered: reads and commits, and watches that had to be set. */
  get isQuiet(): boolean {
    return this.#open === 0;
  }

  /** The same store, whose traffic counts. */
  through(store: Store): Store {
    return override(store, {
      read: (...args) => this.#count(store.read(...args)),
      commit: (...args) => this.#count(store.commit(...args)),
      watch: (...args) => {
        const watch = store.watch(...args);
        void this.#count(watch.ready).catch(() => {});
        return watch;
      },
    });
  }

  async #count<T>(answer: Promise<T>): Promise<T> {
    this.#open += 1;
    try {
      return await answer;
    } finally {
      this.#open -= 1;
    }
  }
}
