import { type LossReason, RefusedError } from '../store/errors.js';
import { type KeyRange, keyId } from '../store/keys.js';
import type {
  CallOptions,
  Store,
  TxnReply,
  Watch,
  WatchEvent,
  WatchListener,
} from '../store/store.js';
import { persist } from '../time/persist.js';
import type { Inquest } from './inquest.js';
import type { HeldPlace } from './place.js';

/** Who is told what becomes of keys. */
export interface KeyUser {
  /** One of them is not ours any more. */
  gone(): void;
  /** What becomes of them cannot be known. */
  lost(reason: LossReason): void;
  /** Who is told of what happens besides. @defaultValue nobody: only deletions are asked for */
  readonly inquest?: Inquest;
}

function reasonOf(error: unknown): LossReason {
  return error instanceof RefusedError ? 'refused' : 'no-contact';
}

/** Finds out when one of the keys of a place goes, by whomever. */
export class KeyWatch {
  readonly #store: Store;
  readonly #place: HeldPlace;
  readonly #user: KeyUser;
  #watches: readonly Watch[] = [];

  constructor(store: Store, place: HeldPlace, user: KeyUser) {
    this.#store = store;
    this.#place = place;
    this.#user = user;
  }

  /** Watches ranges that have the keys, which were there at `revision`. */
  start(ranges: readonly KeyRange[], revision: bigint): void {
    const listener: WatchListener = {
      events: (events) => {
        this.#user.inquest?.heard(events);
        const own = new Set(this.#place.keys.map(keyId));
        const isOwn = ({ type, kv }: WatchEvent): boolean =>
          type === 'delete' && own.has(keyId(kv.key));
        if (events.some(isOwn)) this.#user.gone();
      },
      gap: () => void this.verify(),
      closed: (error) => this.#user.lost(reasonOf(error)),
    };
    const only = this.#user.inquest ? {} : ({ only: 'delete' } as const);
    const options = { from: revision + 1n, ...only };
    try {
      this.#watches = ranges.map((range) => this.#store.watch(range, listener, options));
    } catch {
      // The store was closed under us: nobody will renew the lease any more.
      this.#user.lost('closed');
    }
  }

  /** Looks whether they are there. */
  async verify(): Promise<void> {
    const { isOurs, key, keys, lease } = this.#place;
    // A transaction of conditions alone is no linearizable read: a member answers it by what it has, which may be old.
    const success = [{ range: { key, keysOnly: true } }];
    const look = (limit: CallOptions): Promise<TxnReply> =>
      this.#store.commit({ compare: isOurs, success }, limit);
    try {
      const { succeeded } = await persist(look, lease.signal, lease.clock);
      // What was missing may be what we gave up ourselves meanwhile.
      if (keys !== this.#place.keys) await this.verify();
      else if (!succeeded) {
        await this.#user.inquest?.look();
        this.#user.gone();
      }
    } catch (error) {
      // The session has ended, which is known already, or we may not read our own key.
      this.#user.lost(reasonOf(error));
    }
  }

  close(): void {
    for (const watch of this.#watches) watch.close();
  }
}
