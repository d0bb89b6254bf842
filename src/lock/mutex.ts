import { ArgumentError, HoldLostError, type LossReason } from '../core/errors.js';
import type { Hold } from '../core/hold.js';
import { folderOf, prefixRange } from '../core/keys.js';
import { Line, type LineEntry } from '../core/line.js';
import { Recipe } from '../core/recipe.js';
import type { Session } from '../core/session.js';
import type { WaitOptions } from '../core/signals.js';
import { nonEmpty } from '../core/validate.js';

/** Options of a mutex. */
export interface MutexOptions {
  /**
   * Where the line is kept: `recipes` gives every name a folder of its own; `go` uses `<name>/`, sharing
   * one line with Go's `concurrency.Mutex` and `etcdctl lock` - and, as they do, has names contain one
   * another where one continues another after a slash. @defaultValue `'recipes'`
   */
  readonly layout?: 'recipes' | 'go';
}

/** What happens to the holds of one `Mutex` object. */
export interface MutexEvents {
  /** Somebody else is first; the acquisition waits. */
  waiting: (event: { readonly name: string }) => void;
  /** `waited` is in milliseconds. */
  acquired: (event: HoldEvent & { readonly waited: number }) => void;
  lost: (event: HoldEvent & { readonly reason: LossReason }) => void;
}

/** Which hold an event is about. */
export interface HoldEvent {
  readonly name: string;
  readonly key: string;
  readonly token: bigint;
}

/** Who holds a mutex and who waits for it. */
export interface MutexState {
  readonly holder: LineEntry | undefined;
  /** In the order in which they will get it. */
  readonly waiters: readonly LineEntry[];
}

/**
 * A lock held by one holder at a time across all processes on one etcd, granted in the order of arrival.
 * Not re-entrant: a second `acquire` waits for the first, in the same process too.
 */
export class Mutex extends Recipe<MutexEvents> {
  readonly #line: Line;

  /** @throws ArgumentError if the name is empty or an option is not usable. */
  constructor(session: Session, name: string, { layout = 'recipes' }: MutexOptions = {}) {
    super(session, name);
    if (layout !== 'recipes' && layout !== 'go') {
      throw new ArgumentError('layout', "'recipes' or 'go'", layout);
    }
    const folder = layout === 'go' ? `${nonEmpty('name', name)}/` : folderOf('mutex', name);
    const wait = { recipe: 'mutex', verb: 'acquire', name };
    this.#line = new Line(session, { ...wait, folder, rivals: prefixRange(folder), slots: 1 });
  }

  /**
   * Waits in line for the lock. A call that fails gives its place up in the background, and goes on trying
   * until that is sure.
   *
   * @throws WaitTimeoutError after `wait.timeout`.
   * @throws the reason of `wait.signal` when it aborts.
   * @throws HoldLostError if somebody deletes our place in the line.
   * @throws SessionLostError if the session is lost meanwhile; the next call uses the session anew.
   * @throws ClosedError if the session is closed.
   */
  async acquire(wait: WaitOptions = {}): Promise<Hold> {
    const { clock } = this.session;
    const asked = clock.now();
    const hold = await this.#line.enter(wait, this.#onWaiting, this.#onLost);
    return this.#acquired(hold, clock.now() - asked);
  }

  /**
   * Takes the lock if nobody has it and nobody waits for it; one transaction, which writes nothing otherwise.
   *
   * @returns `undefined` if it is not our turn
   * @throws as `acquire`.
   */
  async tryAcquire(wait: WaitOptions = {}): Promise<Hold | undefined> {
    const hold = await this.#line.tryEnter(wait, this.#onLost);
    return hold && this.#acquired(hold, 0);
  }

  /**
   * Runs `work` while holding the lock, and releases it whatever happens. Resolves only if the lock was
   * held to the end. `Session.close` waits for it.
   *
   * @throws what `work` throws; it comes before any other error.
   * @throws HoldLostError if the lock was lost while `work` ran.
   * @throws as `acquire`.
   */
  run<T>(work: (hold: Hold) => Promise<T> | T, wait: WaitOptions = {}): Promise<T> {
    return this.session.track(this.#run(work, wait));
  }

  /** Who holds the lock and who waits, as of now. @throws the reason of `wait.signal`, WaitTimeoutError. */
  async inspect(wait: WaitOptions = {}): Promise<MutexState> {
    const [holder, ...waiters] = await this.#line.list(wait);
    return { holder, waiters };
  }

  async #run<T>(work: (hold: Hold) => Promise<T> | T, wait: WaitOptions): Promise<T> {
    const hold = await this.acquire(wait);
    let result: T;
    try {
      result = await work(hold);
    } catch (error) {
      await hold.release().catch(() => {});
      throw error;
    }
    if (await hold.release()) return result;
    throw new HoldLostError(hold.key, hold.lost ?? 'deleted');
  }

  #acquired(hold: Hold, waited: number): Hold {
    this.emit('acquired', { ...this.#eventOf(hold), waited });
    return hold;
  }

  readonly #onWaiting = (): void => {
    this.emit('waiting', { name: this.name });
  };

  readonly #onLost = (hold: Hold): void => {
    this.emit('lost', { ...this.#eventOf(hold), reason: hold.lost ?? 'deleted' });
  };

  #eventOf({ key, token }: Hold): HoldEvent {
    return { name: this.name, key, token };
  }
}
