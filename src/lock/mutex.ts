import type { Hold } from '../core/line/hold.js';
import type { LineEntry } from '../core/line/line.js';
import type { Session } from '../core/session/session.js';
import { ArgumentError } from '../core/store/errors.js';
import { folderOf, prefixRange } from '../core/store/keys.js';
import { persist } from '../core/time/persist.js';
import { type WaitOptions, waitScope } from '../core/time/signals.js';
import { milliseconds, nonEmpty } from '../core/validate.js';
import { Lock } from './lock.js';

/** Options of a mutex. */
export interface MutexOptions {
  /**
   * Where the line is kept: `recipes` gives every name a folder of its own; `go` uses `<name>/`, sharing
   * one line with Go's `concurrency.Mutex` and `etcdctl lock` - and, as they do, has names contain one
   * another where one continues another after a slash. @defaultValue `'recipes'`
   */
  readonly layout?: 'recipes' | 'go';
  /**
   * Milliseconds for which nobody gets the lock after a holder did not give it back but lost it, or died: in that time what he
   * had begun can come to its end. `tryAcquire` does not wait for that, and gives `undefined`. Everybody has to ask for it; it
   * costs one write more for each `acquire`. @defaultValue 0
   */
  readonly lockDelay?: number;
}

/** Who holds a mutex and who waits for it. */
export interface MutexState {
  readonly holder: LineEntry | undefined;
  /** In the order in which they will get it. */
  readonly waiters: readonly LineEntry[];
}

/** A note: the token of who did not give the lock back, and the milliseconds that are left of the delay where some have passed. */
const noted = /^(\d+)(?: (\d+))?$/;

/** What is known of a delay. */
interface Delay {
  /** Of who did not give the lock back. */
  readonly token: string;
  /** When it is over, by our clock. */
  readonly until: number;
}

/** A lock held by one holder at a time across all processes on one etcd, granted in the order of arrival. */
export class Mutex extends Lock {
  readonly #lockDelay: number;
  /** Has the token of a holder from its grant to its release, or what is left of a delay. */
  readonly #held: string;
  /** The delay that was met last: who tries again and again waits for the same one. */
  #known: Delay | undefined;

  /** @throws ArgumentError if the name is empty or an option is not usable. */
  constructor(session: Session, name: string, options: MutexOptions = {}) {
    const { layout = 'recipes', lockDelay = 0 } = options;
    if (layout !== 'recipes' && layout !== 'go') {
      throw new ArgumentError('layout', "'recipes' or 'go'", layout);
    }
    const folder = layout === 'go' ? `${nonEmpty('name', name)}/` : folderOf('mutex', name);
    const lanes = [{ folder, rivals: prefixRange(folder) }] as const;
    super(session, { recipe: 'mutex', verb: 'acquire', name, lanes });
    this.#lockDelay = milliseconds('lockDelay', lockDelay);
    this.#held = folderOf('held', folder);
  }

  /** Who holds the lock and who waits, as of now. @throws the reason of `wait.signal`, WaitTimeoutError. */
  async inspect(wait: WaitOptions = {}): Promise<MutexState> {
    const [holder, ...waiters] = await this.entries(wait);
    return { holder, waiters };
  }

  protected override settle(
    hold: Hold,
    wait: WaitOptions | undefined,
    since: number,
    when: 'now' | 'later',
  ): Promise<boolean> | undefined {
    return this.#lockDelay === 0 ? undefined : this.#delay(hold, wait ?? {}, since, when);
  }

  async #delay(
    hold: Hold,
    wait: WaitOptions,
    since: number,
    when: 'now' | 'later',
  ): Promise<boolean> {
    const { clock } = this.session;
    const scope = waitScope(wait, hold.signal, clock, `mutex ${this.name}`, since);
    const { signal } = scope;
    let delay: Delay | undefined;
    try {
      delay = await this.#note(hold, signal);
      if (delay) {
        const left = delay.until - clock.now();
        if (left > 0 && when === 'now') {
          this.#leave(hold, delay);
          return false;
        }
        if (left > 0) await clock.sleep(left, signal);
        const note = hold.txn().put(this.#held, String(hold.token));
        await persist((limit) => note.commit(limit), signal, clock);
      }
      hold.releaseWith({ delete: { key: this.#held } });
      return true;
    } catch (error) {
      this.#leave(hold, delay);
      throw error;
    } finally {
      scope.dispose();
    }
  }

  /** Notes that it is held, unless something is noted of a holder before: gives the delay that is due for that. */
  async #note(hold: Hold, signal: AbortSignal): Promise<Delay | undefined> {
    const { store, clock } = this.session;
    const key = this.#held;
    const token = String(hold.token);
    const note = hold.txn().if({ key, target: 'create', to: 0n }).put(key, token);
    if ((await persist((limit) => note.commit(limit), signal, clock)).succeeded) return undefined;
    const { kvs } = await persist((limit) => store.read({ key }, limit), signal, clock);
    const [, lost = '', rest = this.#lockDelay] = noted.exec(String(kvs[0]?.value)) ?? [];
    // An answer was lost: it is our own.
    if (lost === token) return undefined;
    const left = lost === '' ? 0 : Math.min(this.#lockDelay, Number(rest));
    const until = clock.now() + left;
    const known = this.#known?.token === lost ? this.#known?.until : undefined;
    this.#known = { token: lost, until: Math.min(until, known ?? until) };
    return this.#known;
  }

  /** Whoever comes next waits for the rest only: otherwise those who wait for less than the delay would keep all out. */
  #leave(hold: Hold, delay: Delay | undefined): void {
    const key = this.#held;
    const remove = { delete: { key } };
    if (delay) {
      const rest = Math.ceil(delay.until - this.session.clock.now());
      const put = { key, value: `${delay.token} ${rest}` };
      hold.releaseWith(rest > 0 ? { put } : remove);
    } else {
      const isOurs = { key, target: 'value', to: String(hold.token) } as const;
      hold.releaseWith({ txn: { compare: [isOurs], success: [remove] } });
    }
    void hold.release().catch(() => {});
  }
}
