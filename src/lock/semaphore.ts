import type { Hold } from '../core/line/hold.js';
import { entryOf, Line, type LineEntry, pairsIn } from '../core/line/line.js';
import type { Capacity, Lane, LineSpec } from '../core/line/line-spec.js';
import type { Session } from '../core/session/session.js';
import { ArgumentError, ConflictError } from '../core/store/errors.js';
import { folderOf, keyId, prefixRange } from '../core/store/keys.js';
import type { CallOptions, KeyValue, Operation } from '../core/store/store.js';
import type { Clock } from '../core/time/clock.js';
import { persist } from '../core/time/persist.js';
import { abortable, type WaitOptions, waitScope } from '../core/time/signals.js';
import { wholeFrom } from '../core/validate.js';
import { type AcquireOptions, Lock } from './lock.js';

/** Options of a semaphore. */
export interface SemaphoreOptions {
  /**
   * How many permits there are. Whoever comes first decides; others who give another number get a `ConflictError`, and those
   * who give none take it as it is. @defaultValue as others decided
   */
  readonly limit?: number;
}

/** How permits are acquired. */
export interface PermitOptions extends AcquireOptions {
  /** How many, all at once; with `within` at most as many as that has. @defaultValue 1 */
  readonly permits?: number;
}

/** Somebody who holds permits or waits for them. */
export interface PermitEntry extends LineEntry {
  readonly permits: number;
}

/** Who holds permits and who waits, each in the order of their arrival, as the present limit has it. */
export interface SemaphoreState {
  /** `undefined` if nobody has used it. */
  readonly limit: number | undefined;
  readonly holders: readonly PermitEntry[];
  readonly waiters: readonly PermitEntry[];
}

/**
 * A number of permits, given in the order of arrival: who asks for many is not passed by those who ask for few. All processes
 * agree on the limit, which may be changed while permits are held.
 */
export class Semaphore extends Lock<PermitOptions> {
  readonly #folder: string;
  readonly #limit: number | undefined;
  readonly #capacity: Capacity;
  #agreed: Promise<void> | undefined;

  /** @throws ArgumentError if the name is empty or an option is not usable. */
  constructor(session: Session, name: string, { limit }: SemaphoreOptions = {}) {
    const folder = folderOf('semaphore', name);
    const capacity = { range: prefixRange(`${folder}limit/`), now: limit ?? 1 };
    if (limit !== undefined) wholeFrom(1, 'limit', limit);
    super(session, specOf(name, folder, capacity, 1));
    this.#folder = folder;
    this.#limit = limit;
    this.#capacity = capacity;
  }

  /**
   * Waits for permits. A call that fails gives its place up in the background, and goes on trying until that is sure.
   *
   * @throws ArgumentError if `permits` is not a whole number from 1 to the limit.
   * @throws ConflictError if others decided on another limit, or on one below `permits` while we wait; if nobody did, and we
   * have none.
   * @throws WaitTimeoutError, and others, as `Mutex.acquire`.
   */
  override acquire(wait: PermitOptions = {}): Promise<Hold> {
    return this.#limited(wait, (limited) => super.acquire(limited));
  }

  /**
   * Takes permits if there are enough, and nobody waits; writes nothing otherwise.
   *
   * @returns `undefined` if it is not our turn
   * @throws as `acquire`.
   */
  override async tryAcquire(wait: PermitOptions = {}): Promise<Hold | undefined> {
    const hold = await this.#limited(wait, (limited) => super.tryAcquire(limited));
    if (!hold) this.#checkLimit();
    return hold;
  }

  /**
   * Changes the limit. Permits that are held stay so; where they are too many now, nobody is let in before enough are given
   * back, and who waits for more than the limit is turned away. Gives the limit of before, `undefined` if there was none. Objects that were made with another limit reject from now on.
   *
   * @throws ArgumentError if it is not a whole number from 1.
   * @throws UnavailableError if etcd did not answer in time; `outcome` says whether it may have been changed.
   */
  async resize(limit: number, options: CallOptions = {}): Promise<number | undefined> {
    wholeFrom(1, 'limit', limit);
    const { store } = this.session;
    const { range } = this.#capacity;
    for (;;) {
      const { kvs, revision } = await store.read(range, options);
      // Its key goes and another comes: those who wait are told of deletions only.
      const old = kvs.map(({ key }): Operation => ({ delete: { key } }));
      const put = { key: `${this.#folder}limit/${revision.toString(16)}`, value: String(limit) };
      const isSame = { ...range, target: 'mod', is: '<', to: revision + 1n } as const;
      const txn = { compare: [isSame], success: [...old, { put }] };
      const { succeeded } = await store.commit(txn, { ...options, exactlyOnce: true });
      if (succeeded) return limitIn(kvs);
    }
  }

  /** The limit, who holds permits and who waits. @throws the reason of `wait.signal`, WaitTimeoutError. */
  async inspect(wait: WaitOptions = {}): Promise<SemaphoreState> {
    const folder = this.#folder;
    const kvs = await pairsIn(this.session, prefixRange(folder), `semaphore ${this.name}`, wait);
    const wanted = keyId(`${folder}permits/`);
    const isEntry = ({ key }: KeyValue): boolean => keyId(key).startsWith(wanted);
    const limit = limitIn(kvs.filter((kv) => !isEntry(kv)));
    const holders: PermitEntry[] = [];
    const waiters: PermitEntry[] = [];
    let used = 0;
    for (const kv of kvs.filter(isEntry)) {
      const permits = permitsIn(folder, keyId(kv.key));
      used += permits;
      (used <= (limit ?? 0) ? holders : waiters).push({ ...entryOf(kv), permits });
    }
    return { limit, holders, waiters };
  }

  protected override async line(wait: PermitOptions = {}): Promise<Line> {
    const permits = wholeFrom(1, 'permits', wait.permits ?? 1);
    await this.#agree(wait);
    if (permits > this.#capacity.now) {
      // As last heard; others may have made it larger.
      this.#agreed = undefined;
      await this.#agree(wait);
    }
    const { now } = this.#capacity;
    if (permits > now) throw new ArgumentError('permits', `at most ${now}, the limit`, permits);
    return new Line(this.session, specOf(this.name, this.#folder, this.#capacity, permits));
  }

  protected override async holders(wait: WaitOptions): Promise<readonly LineEntry[]> {
    return (await this.inspect(wait)).holders;
  }

  protected override covers(hold: Hold, { permits = 1 }: PermitOptions): boolean {
    if (!hold.isIn(`${this.#folder}permits/`)) return false;
    const held = permitsIn(this.#folder, keyId(hold.key));
    if (wholeFrom(1, 'permits', permits) <= held) return true;
    throw new ArgumentError('permits', `at most ${held}, as many as 'within' has`, permits);
  }

  protected override settle(hold: Hold): undefined {
    try {
      this.#checkLimit();
    } catch (error) {
      void hold.release().catch(() => {});
      throw error;
    }
  }

  protected override onWaiting(): void {
    this.#checkLimit();
    super.onWaiting();
  }

  /** Has all that is asked of etcd together take no longer than `wait` says. */
  async #limited<T>(
    wait: PermitOptions,
    attempt: (limited: PermitOptions) => Promise<T>,
  ): Promise<T> {
    const { timeout, ...others } = wait;
    if (timeout === undefined) return attempt(wait);
    const { closing, clock } = this.session;
    const scope = waitScope(wait, closing, clock, `semaphore ${this.name}`);
    try {
      return await attempt({ ...others, signal: scope.signal });
    } finally {
      scope.dispose();
    }
  }

  /** Has a limit stored, and finds out if it is another. */
  async #agree(wait: WaitOptions): Promise<void> {
    const { closing, clock } = this.session;
    const scope = waitScope(wait, closing, clock, `semaphore ${this.name}`);
    this.#agreed ??= this.#storeOnce(closing, clock);
    try {
      // Who gives up leaves it to those who come later.
      await abortable(this.#agreed, scope.signal);
    } finally {
      scope.dispose();
    }
  }

  async #storeOnce(closing: AbortSignal, clock: Clock): Promise<void> {
    try {
      await persist((limit) => this.#store(limit), closing, clock);
    } catch (error) {
      this.#agreed = undefined;
      throw error;
    }
  }

  async #store(options: CallOptions): Promise<void> {
    const { range } = this.#capacity;
    const limit = this.#limit;
    const put = { key: `${this.#folder}limit/0`, value: String(limit) };
    const reply = await this.session.store.commit(
      {
        compare: [{ ...range, target: 'create', to: 0n }],
        success: limit === undefined ? [] : [{ put }],
        failure: [{ range }],
      },
      { ...options, idempotent: true },
    );
    const stored = reply.succeeded ? limit : limitIn(reply.replies[0]?.kvs ?? []);
    if (stored === undefined) throw new ConflictError(`semaphore ${this.name} has no limit yet`);
    this.#capacity.now = stored;
    this.#checkLimit();
  }

  #checkLimit(): void {
    const { now } = this.#capacity;
    if (this.#limit === undefined || now === this.#limit) return;
    throw new ConflictError(`semaphore ${this.name} has ${now} permits, not ${this.#limit}`);
  }
}

function specOf(name: string, folder: string, capacity: Capacity, weight: number): LineSpec {
  const all = `${folder}permits/`;
  const lane: Lane = {
    folder: `${all}${weight}/`,
    rivals: prefixRange(all),
    terms: capacity.range,
    watched: prefixRange(folder),
    capacity,
    weigh: (id) => permitsIn(folder, id),
  };
  return { recipe: 'semaphore', verb: 'acquire', name, lanes: [lane], weight };
}

/** How many permits the owner of a key wants. */
function permitsIn(folder: string, id: string): number {
  return Number.parseInt(id.slice(keyId(`${folder}permits/`).length), 10);
}

function limitIn([kv]: readonly KeyValue[]): number | undefined {
  return kv && Number(kv.value.toString());
}
