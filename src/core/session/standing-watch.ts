import { ClosedError } from '../store/errors.js';
import type { KeyValue, Watch } from '../store/store.js';
import { Backoff } from '../time/backoff.js';
import type { Session } from './session.js';

/** Who is told what is heard of a key. */
export interface StandingWatchUser {
  /** What was there at a revision. */
  heard(revision: bigint, present: KeyValue | undefined): void;
  /** Whatever happens from `since` on will be heard; what happened before may not have been. */
  live(since: bigint): void;
  /** etcd refuses to have it watched. It is tried again. */
  failed(error: unknown): void;
  /** Nothing will be heard any more. */
  closed(): void;
}

/** A watch of one key that is set again where etcd has refused it: rights that were taken may be given back. */
export class StandingWatch {
  readonly #session: Session;
  readonly #key: string;
  readonly #user: StandingWatchUser;
  readonly #life = new AbortController();
  readonly #pause = new Backoff(100, 5_000);
  #watch: Watch;

  /** @throws ClosedError if the store is closed. */
  constructor(session: Session, key: string, user: StandingWatchUser) {
    this.#session = session;
    this.#key = key;
    this.#user = user;
    this.#watch = this.#set();
  }

  close(): void {
    this.#life.abort();
    this.#watch.close();
  }

  #set(): Watch {
    const watch = this.#session.store.watch(
      { key: this.#key },
      {
        events: (events) => {
          for (const { type, kv } of events) {
            this.#user.heard(kv.modRevision, type === 'put' ? kv : undefined);
          }
        },
        gap: (revision) => this.#user.live(revision + 1n),
        closed: (error) => void this.#setAgain(error),
      },
    );
    watch.ready.then(
      () => this.#live(watch.since),
      () => {},
    );
    return watch;
  }

  #live(since = 0n): void {
    this.#pause.reset();
    this.#user.live(since);
  }

  async #setAgain(error: Error): Promise<void> {
    try {
      if (error instanceof ClosedError) throw error;
      this.#user.failed(error);
      await this.#session.clock.sleep(this.#pause.next(), this.#life.signal);
      this.#watch = this.#set();
    } catch {
      this.#user.closed();
    }
  }
}
