import type { MvccStore } from '../mvcc/store.js';
import type { Version } from '../mvcc/version.js';
import { type Receiver, Watcher, type WatchSpec } from './watcher.js';
import { WatcherIndex } from './watcher-index.js';

/** How many watchers catch up in one turn of the event loop. */
const AT_A_TIME = 8;

/** All watches of a store. A change costs as much as there are watchers of its keys. */
export class Watches {
  readonly #store: MvccStore;
  readonly #index = new WatcherIndex<Watcher>();
  /** Those that are set, so that one that was removed is told nothing more. */
  readonly #set = new Set<Watcher>();

  readonly #behind = new Set<Watcher>();

  constructor(store: MvccStore) {
    this.#store = store;
  }

  get size(): number {
    return this.#set.size;
  }

  /** Sets a watch; `resume` begins to tell what happened since it was to begin, and what happens then. */
  add(spec: WatchSpec, receiver: Receiver): Watcher {
    const watcher = new Watcher(spec, receiver);
    this.#set.add(watcher);
    this.#index.add(watcher);
    return watcher;
  }

  remove(watcher: Watcher): void {
    if (this.#set.delete(watcher)) this.#index.delete(watcher);
  }

  /** Goes on telling a watcher that is behind: some at once, and the rest soon if it is much. */
  resume(watcher: Watcher): void {
    if (!this.#set.has(watcher) || watcher.live || !watcher.receiver.isReady()) return;
    if (watcher.next < this.#store.compacted) {
      this.remove(watcher);
      watcher.receiver.compacted(this.#store.compacted);
      return;
    }
    watcher.catchUp(this.#store);
    if (!watcher.live) this.#goOnLater(watcher);
  }

  /** Those that are behind take turns, a few at a time, so that all others are served in between. */
  #goOnLater(watcher: Watcher): void {
    if (this.#behind.size === 0) setImmediate(() => this.#nextTurn());
    this.#behind.add(watcher);
  }

  #nextTurn(): void {
    const turn = [...this.#behind].slice(0, AT_A_TIME);
    for (const watcher of turn) this.#behind.delete(watcher);
    if (this.#behind.size > 0) setImmediate(() => this.#nextTurn());
    for (const watcher of turn) this.resume(watcher);
  }

  /** Tells everybody concerned of the changes of one transaction. */
  publish(changes: readonly Version[]): void {
    const { revision } = this.#store;
    const [first] = changes;
    if (first && changes.length === 1) {
      for (const watcher of this.#index.find(first.key)) watcher.offer(changes, revision);
      return;
    }
    const concerned = new Map<Watcher, Version[]>();
    for (const change of changes) {
      for (const watcher of this.#index.find(change.key)) {
        const own = concerned.get(watcher);
        if (own) own.push(change);
        else concerned.set(watcher, [change]);
      }
    }
    for (const [watcher, own] of concerned) watcher.offer(own, revision);
  }
}
