import { Semaphore } from 'async-mutex';
import { type KeyRange, keyId } from '../store/keys.js';
import type { Store } from '../store/store.js';
import { abortable } from '../time/signals.js';
import { View } from './view.js';

/** A place, and what its owner knows of the line, or is about to. */
interface Known {
  /** The create revision of the key, whose name may be used again. */
  readonly token: bigint;
  readonly view: View | Promise<View>;
}

/** What the contenders of one line know, by the `keyId` of their keys; and whose turn it is to look. */
interface KnownLine {
  readonly known: Map<string, Known>;
  readonly looks: Semaphore;
}

/**
 * So many look at a line at once. Each look costs etcd as much as the line is long, and when a watch breaks, all who wait have to
 * look: all at once they would keep etcd from everything else, get their answers too late to use them, and ask again.
 */
const looksAtOnce = 4;

/**
 * What the contenders of this process know of their lines, for those who come after them: etcd need not
 * list a long line to each, and where many leave at once, one look serves all who are nearly let in.
 * Counts on a store telling all its listeners of an event in one turn.
 */
export class Neighbours {
  /** By store, and by rivals. */
  static readonly #all = new WeakMap<Store, Map<string, KnownLine>>();
  readonly #lines: Map<string, KnownLine>;
  readonly #rivals: string;

  /** Those who see the same store and have the same rivals. */
  constructor(store: Store, { key, end = '' }: KeyRange) {
    this.#lines = Neighbours.#all.get(store) ?? new Map();
    Neighbours.#all.set(store, this.#lines);
    this.#rivals = `${keyId(key)}\n${keyId(end)}`;
  }

  /** Tells what the owner of `key` knows, or is about to know. */
  tell(key: string, known: Known): void {
    this.#line.known.set(keyId(key), known);
  }

  /** Tells what the owner of `key` knows who is let in, and keeps it up to date no more: that must not change. */
  settle(key: string, token: bigint, view: View): void {
    if (view.ahead.size === 0) this.tell(key, { token, view });
    else this.remove(key);
  }

  remove(key: string): void {
    const known = this.#lines.get(this.#rivals)?.known;
    known?.delete(keyId(key));
    if (known?.size === 0) this.#lines.delete(this.#rivals);
  }

  /** Looks at the line when it is the turn of the contender with this create revision: who is first in line is first to look. */
  inTurn<T>(token: bigint, look: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const turn = (): Promise<T> => {
      signal.throwIfAborted();
      return look();
    };
    return abortable(this.#line.looks.runExclusive(turn, 1, -Number(token)), signal);
  }

  /**
   * Adds to a view what the rival right before us knows, if that is one of us: once he knows it.
   *
   * @param seen - the last revision of whose departures the view has no more need to be told
   * @returns `undefined` if that is of no use
   */
  async complete(view: View, seen: bigint, signal: AbortSignal): Promise<View | undefined> {
    const { revision, nearest } = view;
    if (!nearest || !view.ahead.has(nearest.id)) return undefined;
    const found = this.#lines.get(this.#rivals)?.known.get(nearest.id);
    if (found?.token !== nearest.token) return undefined;
    const known = found.view instanceof View ? found.view : await settled(found.view, signal);
    if (!known?.complete) return undefined;
    // Who is before him now was so when we joined: of those who left since, we are or were told.
    const isEmpty = known.ahead.size === 0;
    if (!isEmpty && known.revision < seen) return undefined;
    const since = isEmpty || known.revision > revision ? revision : known.revision;
    const { capacity } = known.revision > revision ? known : view;
    // Who has several keys has them all before us.
    const ahead = new Map([...known.ahead, ...view.ahead]);
    return new View({ revision: since, ahead, nearest, complete: true, capacity });
  }

  get #line(): KnownLine {
    let line = this.#lines.get(this.#rivals);
    if (!line) {
      line = { known: new Map(), looks: new Semaphore(looksAtOnce) };
      this.#lines.set(this.#rivals, line);
    }
    return line;
  }
}

/** Gives `undefined` where he who was about to know failed. */
async function settled(view: Promise<View>, signal: AbortSignal): Promise<View | undefined> {
  try {
    return await abortable(view, signal);
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}
