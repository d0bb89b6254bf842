import type { WatchBatch } from '../core/events/change-queue.js';
import type { Store } from '../core/store/store.js';
import type { Clock } from '../core/time/clock.js';
import { type Deferred, deferred } from '../core/time/deferred.js';
import { abortable } from '../core/time/signals.js';
import { Watching } from '../core/watch/watching.js';
import { type ElectionFolders, lastPartOf, Roll } from './roll.js';

/**
 * The roll of an election, from a live watch: one for all in this process who stand, of whom only those are woken who may have
 * something to do, and for the leader who appoints the next.
 */
export class Ballot {
  static readonly #all = new WeakMap<Store, Map<string, Ballot>>();
  readonly roll: Roll;
  /** As of which revision the roll is. */
  revision = 0n;
  readonly #watching: Watching;
  readonly #waiting = new Map<string, Deferred<void>>();
  readonly #forget: () => void;
  #users = 0;
  #failure: { readonly error: unknown } | undefined;

  private constructor(store: Store, folders: ElectionFolders, clock: Clock, forget: () => void) {
    this.roll = new Roll(folders);
    this.#watching = new Watching(store, folders.all, { initial: true }, clock);
    this.#forget = forget;
    void this.#follow();
  }

  /** The one of an election on a store, to be closed by everybody who opens it. */
  static open(store: Store, folders: ElectionFolders, clock: Clock): Ballot {
    const all = Ballot.#all.get(store) ?? new Map<string, Ballot>();
    Ballot.#all.set(store, all);
    const { terms } = folders;
    const forget = (): void => {
      if (all.get(terms) === ballot) all.delete(terms);
    };
    const ballot: Ballot = all.get(terms) ?? new Ballot(store, folders, clock, forget);
    all.set(terms, ballot);
    ballot.#users += 1;
    return ballot;
  }

  /**
   * Waits for a later state than that of a revision, in which the candidate of this name may have something to do. Gives its
   * revision.
   *
   * @throws the reason of `signal`; why the watch ended.
   */
  async after(seen: bigint, name: string, signal: AbortSignal): Promise<bigint> {
    while (this.revision <= seen && !this.#failure) {
      const concerned = deferred<void>();
      this.#waiting.set(name, concerned);
      try {
        await abortable(concerned.promise, signal);
      } finally {
        this.#waiting.delete(name);
      }
    }
    if (this.#failure) throw this.#failure.error;
    return this.revision;
  }

  /** Once for each `open`. */
  close(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    this.#forget();
    this.#watching.close();
  }

  /** Keeps the roll up to date until the end. */
  async #follow(): Promise<void> {
    try {
      for await (const batch of this.#watching.revisions()) this.#take(batch);
    } catch (error) {
      // Whoever is appointed by an old roll must still stand; if nobody does, all learn that the term has ended.
      this.#failure = { error };
      this.#forget();
      this.#wake(this.#waiting.keys());
    }
  }

  #take({ revision, changes, origin }: WatchBatch): void {
    for (const { type, kv } of changes) this.roll.apply(type, kv);
    this.revision = revision;
    // Who is not in a state that was read has changed as well.
    if (origin) this.#wake(this.#waiting.keys());
    if (this.#waiting.size === 0) return;
    const { term: next = this.roll.ranked[0] } = this.roll;
    const concerned = changes.map(({ kv }) => kv);
    if (next) concerned.push(next);
    this.#wake(concerned.map(({ key }) => lastPartOf(key.toString())));
  }

  #wake(names: Iterable<string>): void {
    for (const name of names) this.#waiting.get(name)?.resolve();
  }
}
