import type { Session } from '../core/session/session.js';
import { isLoss } from '../core/store/errors.js';
import { Backoff } from '../core/time/backoff.js';
import { type Deferred, deferred } from '../core/time/deferred.js';
import { abortable, onEnd, type WaitOptions, waitScope } from '../core/time/signals.js';
import { type Traces, traced } from '../core/trace.js';
import { Affinity } from './affinity.js';
import { type Choice, Claimant } from './claimant.js';
import { Front } from './front.js';
import { linger } from './linger.js';
import { Outbox } from './outbox.js';
import type { QueueKeys } from './queue-keys.js';
import { QueueState } from './queue-state.js';
import type { Ready } from './ready.js';
import { type Taken, untried } from './steps.js';

/** While so many steps are under way, jobs are not claimed: they are claimed together by the next. */
const atOnce = 4;
/** Milliseconds until it is read again where there are many jobs, and none of them can be claimed: at first, and at most. */
const pauses = [20, 1_000] as const;

/**
 * Gives the jobs of one queue to those who wait for them in this process, first come first served. Each process claims those
 * that it is the nearest to, so that processes are rarely after the same; what nobody claims for a moment others do.
 */
export class Dispenser {
  static readonly #all = new WeakMap<Session, Map<string, Dispenser>>();
  readonly #session: Session;
  readonly #name: string;
  readonly #state: QueueState;
  readonly #front: Front;
  readonly #affinity: Affinity;
  readonly #outbox: Outbox;
  readonly #claimant: Claimant;
  #waiting: Deferred<Taken>[] = [];
  /** How many claims are under way. */
  #claiming = 0;
  /** And in how many steps. */
  #steps = 0;
  #isBusy = false;
  readonly #pause = new Backoff(...pauses);
  #news = deferred<void>();
  #stopLinger = (): void => {};
  /** Nobody is given this one any more. */
  readonly #forget: () => void;

  private constructor(
    session: Session,
    name: string,
    keys: QueueKeys,
    perGroup: number,
    forget: () => void,
  ) {
    this.#forget = forget;
    const { store, clock } = session;
    this.#session = session;
    this.#name = name;
    const onNews = (): void => this.#news.resolve();
    this.#state = new QueueState(session, keys, perGroup, onNews);
    const onCancelled = (record: string): void => this.#claimant.cancelled(record);
    this.#front = new Front(session, keys, this.#state, onNews, onCancelled);
    this.#affinity = new Affinity(session, keys, this.#state);
    this.#outbox = Outbox.at(store, keys, clock);
    this.#claimant = new Claimant({
      session,
      name,
      front: this.#front,
      groups: this.#state.groups,
      affinity: this.#affinity,
      outbox: this.#outbox,
    });
  }

  /** The one shared by all in this process who use the same session, and take so many of a group at a time. */
  static at(session: Session, name: string, keys: QueueKeys, perGroup: number): Dispenser {
    const all = Dispenser.#all.get(session) ?? new Map<string, Dispenser>();
    Dispenser.#all.set(session, all);
    const place = `${keys.folder}${perGroup}`;
    const found = all.get(place);
    if (found) return found;
    const made: Dispenser = new Dispenser(session, name, keys, perGroup, () => {
      if (all.get(place) === made) all.delete(place);
    });
    all.set(place, made);
    return made;
  }

  /**
   * Waits for a job, and claims it.
   *
   * @throws WaitTimeoutError, or the reason of `wait.signal`; ClosedError if the session is closed; RefusedError.
   */
  take(wait: WaitOptions): Promise<Taken> {
    const name = this.#name;
    const trace = (): Traces['wait'] => ({ recipe: 'queue', verb: 'next', name });
    return traced('wait', trace, () => this.#wait(wait));
  }

  #wait(wait: WaitOptions): Promise<Taken> {
    const { closing, clock } = this.#session;
    const waiter = deferred<Taken>();
    this.#waiting.push(waiter);
    const leave = (reason: unknown): void => this.#leave(waiter, reason);
    try {
      const stop = onEnd(leave, wait, closing, clock, `queue ${this.#name}`);
      waiter.promise.then(stop, stop);
    } catch (error) {
      leave(error);
    }
    this.#wake();
    return waiter.promise;
  }

  /** Claims a job if there is one that may be. @throws as `take`. */
  async tryTake(wait: WaitOptions): Promise<Taken | undefined> {
    const { closing, clock } = this.#session;
    const scope = waitScope(wait, closing, clock, `queue ${this.#name}`);
    const front = this.#front;
    try {
      // Where jobs are known that may be claimed, what is before them is left out.
      let isAll = front.claimable().next().done === true;
      for (let isMore = await front.refresh(scope.signal); ; ) {
        for (const job of front.claimable()) {
          const taken = await this.#claimWithin(job, scope.signal);
          if (taken) return taken;
        }
        if (!isMore && isAll) return undefined;
        isAll ||= !isMore;
        isMore = await (isMore ? front.advance(scope.signal) : front.refresh(scope.signal));
      }
    } finally {
      scope.dispose();
      if (!this.#isBusy) this.#linger();
    }
  }

  #leave(waiter: Deferred<Taken>, reason: unknown): void {
    this.#waiting = this.#waiting.filter((each) => each !== waiter);
    waiter.reject(reason);
    this.#news.resolve();
  }

  #wake(): void {
    this.#news.resolve();
    if (!this.#isBusy) void this.#work();
  }

  async #work(): Promise<void> {
    const { closing } = this.#session;
    this.#isBusy = true;
    this.#stopLinger();
    try {
      // Who comes in the same turn of the event loop comes along.
      await Promise.resolve();
      while (this.#waiting.length > 0) {
        this.#news = deferred();
        if (this.#front.isOld) await this.#front.glance(closing);
        if (this.#wanted > 0 && !this.#dispense()) await this.#learn(closing);
        else await this.#news.promise;
      }
    } catch (error) {
      for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
    }
    this.#isBusy = false;
    this.#linger();
  }

  /** How many jobs to claim now: those who wait longer get what the next step brings. */
  get #wanted(): number {
    const room = (atOnce - this.#steps) * this.#claimant.together;
    return Math.min(this.#waiting.length - this.#claiming, room);
  }

  /** Claims as many jobs as are wanted, if there are any to claim. */
  #dispense(): boolean {
    const choices = this.#choose(this.#wanted);
    const { together } = this.#claimant;
    for (let i = 0; i < choices.length; i += together) {
      const [first, ...others] = choices.slice(i, i + together);
      if (first) void this.#give([first, ...others]);
    }
    if (choices.length === 0) return false;
    this.#pause.reset();
    return true;
  }

  /** Our own jobs first, and then those that the fewest are nearer to: the others go for others. */
  #choose(count: number): Choice[] {
    const choices: Choice[] = [];
    for (const most of [0, 1, Infinity]) {
      for (const job of this.#front.claimable()) {
        if (choices.length >= count) break;
        const isSure = this.#front.isSure(job);
        if (this.#affinity.isOurTurn(job, most, isSure)) choices.push(this.#claimant.choose(job));
      }
      this.#affinity.isHungry = choices.length < count;
      if (!this.#affinity.isHungry) break;
    }
    return choices;
  }

  async #learn(signal: AbortSignal): Promise<void> {
    const front = this.#front;
    // Who reads then knows who else is there, but for those who come later, of whom the watch tells.
    const [, isNew] = await Promise.all([this.#affinity.join(), this.#state.follow(signal)]);
    if (isNew) front.unfollow();
    if (front.isLive) {
      await this.#affinity.nextTurn(front.claimable(), this.#news.promise);
    } else if (front.isShort) {
      await front.follow(signal);
    } else if (!(await front.advance(signal)) && !front.isShort) {
      const most = this.#state.isPaused ? Infinity : this.#pause.next();
      await this.#affinity.nextTurn(front.claimable(), this.#news.promise, most);
    }
    this.#outbox.saw(front.revision);
  }

  /** Claims jobs for those who have waited longest. */
  async #give(choices: readonly [Choice, ...Choice[]]): Promise<void> {
    this.#claiming += choices.length;
    this.#steps += 1;
    try {
      for (const result of await this.#claimant.claim(choices)) {
        if (result.status === 'fulfilled') this.#hand(result.value);
        else this.#fail(result.reason);
      }
    } catch (error) {
      for (const _ of choices) this.#fail(error);
    } finally {
      this.#claiming -= choices.length;
      this.#steps -= 1;
      this.#wake();
    }
  }

  #hand(taken: Taken | undefined): void {
    const waiter = taken && this.#waiting.shift();
    if (waiter) waiter.resolve(taken);
    // In vain, it goes with the lease.
    else taken?.hold.giveBack(untried(taken)).catch(() => {});
  }

  #fail(error: unknown): void {
    // The session was lost: the next claim uses it anew.
    if (!isLoss(error)) this.#waiting.shift()?.reject(error);
  }

  /** Claims a job; what comes after `signal` has aborted is given back: it was not tried. */
  async #claimWithin(job: Ready, signal: AbortSignal): Promise<Taken | undefined> {
    const claim = this.#claimant.claim([this.#claimant.choose(job)]);
    try {
      const [result] = await abortable(claim, signal);
      if (result?.status === 'rejected') throw result.reason;
      return result?.value;
    } catch (error) {
      const giveBack = async (): Promise<void> => {
        const [late] = await claim;
        if (late?.status === 'fulfilled') await late.value?.hold.giveBack(untried(late.value));
      };
      giveBack().catch(() => {});
      throw error;
    }
  }

  #linger(): void {
    this.#stopLinger();
    this.#stopLinger = linger(this.#session, () => this.#rest());
  }

  /** Nobody has waited, or looked, for a while. */
  #rest(): void {
    if (this.#isBusy) return;
    this.#front.unfollow();
    this.#state.unfollow();
    this.#affinity.leave();
    // There may be many queues, each of them used now and then.
    this.#forget();
  }
}
