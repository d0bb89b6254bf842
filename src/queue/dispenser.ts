import { hasAny } from '../core/has-any.js';
import type { Session } from '../core/session/session.js';
import { isLoss } from '../core/store/errors.js';
import { Backoff } from '../core/time/backoff.js';
import { deferred } from '../core/time/deferred.js';
import { onEnd, type WaitOptions, waitScope } from '../core/time/signals.js';
import { type Traces, traced } from '../core/trace.js';
import { Affinity } from './affinity.js';
import { type Choice, type Choices, Claimant, takenOf } from './claimant.js';
import { Front } from './front.js';
import { linger } from './linger.js';
import { Outbox } from './outbox.js';
import { Present } from './present.js';
import type { QueueKeys } from './queue-keys.js';
import { QueueState } from './queue-state.js';
import { type Demand, type Seeker, Seekers } from './seekers.js';
import { giveAllBack, type Taken } from './steps.js';

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
  readonly #present: Present;
  readonly #seekers = new Seekers();
  /** In how many steps jobs are being claimed. */
  #steps = 0;
  /** Claims of which some may still have to go back. */
  readonly #open = new Set<Promise<unknown>>();
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
    this.#present = new Present(this.#front, this.#claimant, (claim) => this.#track(claim));
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
   * Waits for a job, and claims it: with it, others that may be claimed now.
   *
   * @param demand - how many in all
   * @throws WaitTimeoutError, or the reason of `wait.signal`; ClosedError if the session is closed; RefusedError.
   */
  take(wait: WaitOptions, demand: Demand, since?: number): Promise<readonly Taken[]> {
    const name = this.#name;
    const trace = (): Traces['wait'] => ({ recipe: 'queue', verb: 'next', name });
    return traced('wait', trace, () => this.#wait(wait, demand, since));
  }

  #wait(wait: WaitOptions, demand: Demand, since?: number): Promise<readonly Taken[]> {
    const { closing, clock } = this.#session;
    const seeker = this.#seekers.add(demand);
    const leave = (reason: unknown): void => {
      this.#seekers.leave(seeker, reason);
      this.#news.resolve();
    };
    try {
      const stop = onEnd(leave, wait, closing, clock, `queue ${this.#name}`, since);
      seeker.promise.then(stop, stop);
    } catch (error) {
      leave(error);
    }
    this.#wake();
    return seeker.promise;
  }

  /**
   * Claims jobs if there are such that may be.
   *
   * @param isHasty - those that were known a moment ago will do: what has come before them since is for the next time
   * @throws as `take`.
   */
  async tryTake(
    wait: WaitOptions,
    most: number,
    isHasty = false,
    since?: number,
  ): Promise<readonly Taken[]> {
    const { closing, clock } = this.#session;
    const scope = waitScope(wait, closing, clock, `queue ${this.#name}`, since);
    const { signal } = scope;
    try {
      const known = isHasty ? await this.#present.takeSoon(most, signal) : [];
      return known.length > 0 ? known : await this.#present.take(most, signal);
    } finally {
      scope.dispose();
      if (!this.#isBusy) this.#linger();
    }
  }

  /** Resolves when what is being claimed now is with those who waited for it, or back. */
  async settled(): Promise<void> {
    await Promise.all(this.#open);
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
      while (!this.#seekers.isEmpty) {
        this.#news = deferred();
        if (this.#front.isOld) await this.#front.glance(closing);
        if (this.#wanted.most > 0 && !this.#dispense()) await this.#learn(closing);
        else await this.#news.promise;
      }
    } catch (error) {
      this.#seekers.dismiss(error);
    }
    this.#isBusy = false;
    this.#linger();
  }

  /** How many jobs to claim now: those who wait longer get what the next step brings. */
  get #wanted(): Required<Demand> {
    const { together } = this.#claimant;
    const { most, enough } = this.#seekers.wanted(together);
    const room = (atOnce - this.#steps) * together;
    return { most: Math.min(most, room), enough: Math.min(enough, room) };
  }

  /** Claims as many jobs as are wanted, if there are any to claim: in steps, each for some of those who wait. */
  #dispense(): boolean {
    const choices = this.#choose(this.#wanted);
    if (choices.length === 0) return false;
    while (choices.length > 0) {
      const { seekers, count } = this.#seekers.serve(choices.length, this.#claimant.together);
      const step = choices.splice(0, count);
      if (hasAny(step)) this.#track(this.#give(step, seekers));
    }
    this.#pause.reset();
    return true;
  }

  /** Our own jobs first, and then those that the fewest are nearer to, if there are not enough: the others go for others. */
  #choose({ most, enough }: Required<Demand>): Choice[] {
    const choices: Choice[] = [];
    for (const nearer of [0, 1, Infinity]) {
      const count = nearer === 0 ? most : enough;
      for (const job of this.#front.claimable()) {
        if (choices.length >= count) break;
        const isSure = this.#front.isSure(job);
        if (this.#affinity.isOurTurn(job, nearer, isSure)) choices.push(this.#claimant.choose(job));
      }
      this.#affinity.isHungry = choices.length < enough;
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

  /** Claims jobs for these. */
  async #give(choices: Choices, seekers: readonly Seeker[]): Promise<void> {
    this.#steps += 1;
    const results = await this.#settled(choices);
    this.#steps -= 1;
    const back = giveAllBack(this.#seekers.hand(takenOf(results), seekers));
    for (const result of results) {
      // Where the session was lost, the next claim uses it anew.
      const isOver = result.status === 'rejected' && !isLoss(result.reason);
      if (isOver) this.#seekers.fail(result.reason, seekers);
    }
    this.#wake();
    await back;
  }

  #track(claim: Promise<unknown>): void {
    const over = claim.catch(() => {}).finally(() => this.#open.delete(over));
    this.#open.add(over);
  }

  async #settled(choices: Choices): ReturnType<Claimant['claim']> {
    try {
      return await this.#claimant.claim(choices);
    } catch (reason) {
      return choices.map(() => ({ status: 'rejected', reason }));
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
