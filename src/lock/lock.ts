import { Hold } from '../core/line/hold.js';
import { checkCaps, type HoldCaps } from '../core/line/hold-caps.js';
import {
  type ForcedHolder,
  type ForcedRelease,
  Intervention,
  type InterventionSpec,
} from '../core/line/intervention.js';
import { entriesIn, Line, type LineEntry } from '../core/line/line.js';
import type { LineSpec } from '../core/line/line-spec.js';
import { Recipe } from '../core/line/recipe.js';
import type { Session } from '../core/session/session.js';
import { ArgumentError, HoldLostError, type LossReason } from '../core/store/errors.js';
import type { KeyRange } from '../core/store/keys.js';
import type { CallOptions } from '../core/store/store.js';
import type { WaitOptions } from '../core/time/signals.js';
import { Namespace } from '../namespace/namespace.js';

/** How something is acquired. */
export interface AcquireOptions extends WaitOptions, HoldCaps {
  /**
   * A hold of the same that is held already: what is given is within it, with the same token, and ends with it at the latest.
   * Nothing is waited for. It must come from the same coordinator, and the same namespace. @defaultValue none: even who holds it waits
   */
  readonly within?: Hold;
}

/** What happens to the holds of one object. */
export interface LockEvents {
  /** It is not our turn; the acquisition waits. */
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

/** What is held by whoever has waited for it in a line. Re-entrant only for those who show their hold (`within`). */
export abstract class Lock<
  Options extends AcquireOptions = AcquireOptions,
> extends Recipe<LockEvents> {
  readonly #line: Line;
  readonly #spec: LineSpec;
  readonly #intervention: Intervention;

  protected constructor(session: Session, spec: LineSpec & Pick<InterventionSpec, 'besides'>) {
    super(session, spec.name);
    this.#line = new Line(session, spec);
    this.#spec = spec;
    this.#intervention = new Intervention(session, spec);
  }

  /**
   * Waits in line. A call that fails gives its place up in the background, and goes on trying until that is sure.
   *
   * @throws WaitTimeoutError after `wait.timeout`.
   * @throws the reason of `wait.signal` when it aborts.
   * @throws HoldLostError if somebody deletes our place in the line.
   * @throws SessionLostError if the session is lost meanwhile; the next call uses the session anew.
   * @throws ClosedError if the session is closed.
   */
  async acquire(wait?: Options): Promise<Hold> {
    const { clock } = this.session;
    const asked = clock.now();
    checkCaps(wait ?? {});
    if (wait?.within) return this.#share(wait.within, wait);
    const line = this.line(wait);
    const hold = await (line instanceof Line ? line : await line).enter(
      wait ?? {},
      () => this.onWaiting(),
      this.#onLost,
    );
    const settled = this.settle(hold, wait, asked, 'later');
    if (settled) await settled;
    return this.#acquired(hold, wait, asked);
  }

  /**
   * Takes it if nobody is in the way, neither holding nor waiting; writes nothing otherwise.
   *
   * @returns `undefined` if it is not our turn
   * @throws as `acquire`.
   */
  async tryAcquire(wait?: Options): Promise<Hold | undefined> {
    checkCaps(wait ?? {});
    if (wait?.within) return this.#share(wait.within, wait);
    const asked = this.session.clock.now();
    const line = this.line(wait);
    const hold = await (line instanceof Line ? line : await line).tryEnter(
      wait ?? {},
      this.#onLost,
    );
    if (!hold || (await this.settle(hold, wait, asked, 'now')) === false) return undefined;
    return this.#acquired(hold, wait, asked);
  }

  /**
   * Runs `work` while holding, and releases whatever happens. Resolves only if it was held to the end.
   * `Session.close` waits for it.
   *
   * @throws what `work` throws; it comes before any other error.
   * @throws HoldLostError if the hold was lost while `work` ran.
   * @throws as `acquire`.
   */
  run<T>(work: (hold: Hold) => Promise<T> | T, wait?: Options): Promise<T> {
    return this.session.track(this.#run(work, wait));
  }

  /**
   * Asks whoever holds it to give it back: `hold.onRevokeRequest` tells them, and nothing else happens. Gives those who were
   * asked.
   *
   * @throws UnavailableError if etcd did not answer in time; others may have been asked.
   */
  async requestRevoke(reason: string, options: CallOptions = {}): Promise<readonly LineEntry[]> {
    return this.#intervention.request(await this.holders(options), reason, options);
  }

  /**
   * Ends the hold of whoever holds it, who loses it (`deleted`) one event later: what he writes through `hold.txn()` has no
   * effect from now on, what he does elsewhere may go on for a moment. Gives those who lost it. `audit` tells of it, unless etcd
   * has no space.
   *
   * @throws UnavailableError if etcd did not answer in time; others may have lost it.
   */
  async forceRelease(reason: string, options: CallOptions = {}): Promise<readonly ForcedHolder[]> {
    return this.#intervention.force(await this.holders(options), reason, options);
  }

  /** Holds that were ended by `forceRelease`, the oldest first. They are kept until somebody deletes them. */
  audit(options: CallOptions = {}): Promise<readonly ForcedRelease[]> {
    return this.#intervention.audit(options);
  }

  /** Who holds it now: whoever is first in a line. */
  protected async holders(wait: WaitOptions): Promise<readonly LineEntry[]> {
    const lines = this.#spec.lanes.map(({ rivals }) => this.entries(wait, rivals));
    return (await Promise.all(lines)).flatMap((entries) => entries.slice(0, 1));
  }

  /** Whether a hold of this session's store is one of this, or more. @throws ArgumentError if `wait` asks for more than it is. */
  protected covers(hold: Hold, _wait: Options): boolean {
    return this.#spec.lanes.every(({ folder }) => hold.isIn(folder));
  }

  /**
   * What else is to be done before a new hold is given, that was asked for at `since`. An error has to give it back, and so has
   * what would take its time where it must be `now`: then this is `false`.
   */
  protected settle(
    _hold: Hold,
    _wait: Options | undefined,
    _since: number,
    _when: 'now' | 'later',
  ): Promise<boolean> | undefined {
    return undefined;
  }

  /** The line to enter. */
  protected line(_wait: Options | undefined): Line | Promise<Line> {
    return this.#line;
  }

  /** A contender is in the line, and it is not its turn; an error gives its place up. */
  protected onWaiting(): void {
    this.emit('waiting', { name: this.name });
  }

  /** Everybody in the line, or another range of keys, oldest first. */
  protected entries(
    wait: WaitOptions,
    range: KeyRange = this.#spec.lanes[0].rivals,
  ): Promise<LineEntry[]> {
    const { recipe, name } = this.#spec;
    return entriesIn(this.session, range, `${recipe} ${name}`, wait);
  }

  async #run<T>(work: (hold: Hold) => Promise<T> | T, wait: Options | undefined): Promise<T> {
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

  #acquired(hold: Hold, wait: Options | undefined, asked: number): Hold {
    const waited = this.session.clock.now() - asked;
    if (wait?.maxHold !== undefined || wait?.idle !== undefined) hold.cap(wait);
    this.emit('acquired', { ...this.#eventOf(hold), waited });
    return hold;
  }

  readonly #onLost = (hold: Hold): void => {
    this.emit('lost', { ...this.#eventOf(hold), reason: hold.lost ?? 'deleted' });
  };

  #share(hold: Hold, wait: Options): Hold {
    const isOurs = hold instanceof Hold && Namespace.isSame(hold.store, this.session.store);
    if (!isOurs || !this.covers(hold, wait)) {
      throw new ArgumentError('within', `a hold of ${this.name}, made by this coordinator`, hold);
    }
    const shared = hold.share();
    shared.cap(wait);
    return shared;
  }

  #eventOf({ key, token }: Hold): HoldEvent {
    return { name: this.name, key, token };
  }
}
