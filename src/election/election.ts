import { Health } from '../core/health.js';
import type { Hold } from '../core/line/hold.js';
import { type ForcedHolder, type ForcedRelease, Intervention } from '../core/line/intervention.js';
import { pairsIn } from '../core/line/line.js';
import { Recipe } from '../core/line/recipe.js';
import type { Session } from '../core/session/session.js';
import { ArgumentError, isLoss } from '../core/store/errors.js';
import type { KeyRange } from '../core/store/keys.js';
import type { CallOptions } from '../core/store/store.js';
import { type WaitOptions, waitScope } from '../core/time/signals.js';
import { KeyedState } from '../core/watch/keyed-state.js';
import { Watching } from '../core/watch/watching.js';
import type { Contest, ContestListener } from './contest.js';
import type { ElectionEvents, LeaderChange } from './election-events.js';
import {
  checkElection,
  checkRun,
  type ElectionOptions,
  type RunOptions,
  type TermEvent,
} from './election-options.js';
import { HealthyContest } from './healthy-contest.js';
import { LineContest } from './line-contest.js';
import { RankedContest } from './ranked-contest.js';
import type { ElectionEntry, ElectionState } from './roll.js';
import { serve } from './tenure.js';
import { checkText, type Term } from './term.js';

/** One leader at a time across all processes on one etcd, and candidates who wait to be the next. */
export class Election extends Recipe<ElectionEvents> {
  readonly #contest: Contest;
  readonly #campaigns: Pick<Contest, 'campaign' | 'tryCampaign'>;
  readonly #intervention: Intervention;
  readonly #isShared: boolean;
  readonly #what: string;
  readonly #listener: ContestListener = {
    waiting: () => this.emit('waiting', { name: this.name }),
    lost: (term) => this.#onLost(term),
  };
  /** Terms whose end, where we are not well, is up to `run`. */
  readonly #served = new WeakSet<Hold>();

  /** @throws ArgumentError if the name is empty or an option is not usable. */
  constructor(session: Session, name: string, options: ElectionOptions = {}) {
    super(session, name);
    checkElection(options);
    const { layout, id, priority = 0, healthy, healthInterval = 1_000 } = options;
    this.#what = `election ${name}`;
    this.#isShared = layout === 'go';
    this.#contest =
      layout === 'go'
        ? new LineContest(session, name)
        : new RankedContest(session, name, { priority, ...(id !== undefined && { id }) });
    this.#campaigns = this.#contest;
    const besides = (term: string): KeyRange[] =>
      this.#contest.candidacyOf(term).map((key) => ({ key }));
    this.#intervention = new Intervention(session, { recipe: 'election', name, besides });
    if (healthy) {
      const health = new Health(healthy, healthInterval, session.clock);
      this.#campaigns = new HealthyContest(this.#contest, health, session, this.#what);
    }
  }

  /**
   * Stands as a candidate, and waits to lead. A call that fails gives up the candidacy in the background, and the term if it was
   * given one at the same moment, and goes on trying until that is sure.
   *
   * @param value - what others see of us, as candidate and as leader
   * @throws ArgumentError if `value` is not a string.
   * @throws WaitTimeoutError after `wait.timeout`.
   * @throws the reason of `wait.signal` when it aborts.
   * @throws HoldLostError if somebody deletes our candidacy.
   * @throws SessionLostError if the session is lost meanwhile; the next call uses the session anew.
   * @throws ClosedError if the session is closed.
   */
  async campaign(value: string, wait: WaitOptions = {}): Promise<Term> {
    checkText(value);
    const { clock } = this.session;
    const asked = clock.now();
    const term = await this.#campaigns.campaign(value, wait, this.#listener);
    return this.#elected(term, clock.now() - asked);
  }

  /**
   * Leads if nobody leads and nobody stands; writes nothing otherwise.
   *
   * @returns `undefined` if somebody does, or if we are not well
   * @throws as `campaign`.
   */
  async tryCampaign(value: string, wait: WaitOptions = {}): Promise<Term | undefined> {
    checkText(value);
    const term = await this.#campaigns.tryCampaign(value, wait, this.#listener);
    return term && this.#elected(term, 0);
  }

  /**
   * Campaigns, does `work` under the term, and resigns when it ends, whatever happens. When the term is lost, `work` is to stop, as
   * `term.signal` says; then it campaigns again, and `work` runs anew. Resolves with what `work` gave in a term that was
   * held to its end. `Session.close` waits for it.
   *
   * @param options - `signal` and `timeout` are the limits of each campaign, not of `work`
   * @throws what `work` throws, unless its term was lost and it throws a `HoldLostError` or an `AbortError`.
   * @throws what `onOverrun` throws, once the work has ended.
   * @throws ArgumentError if an option is not usable; or as `campaign`, but for losses, after which it campaigns again.
   */
  run<T>(
    value: string,
    work: (term: Term) => Promise<T> | T,
    options: RunOptions = {},
  ): Promise<T> {
    return this.session.track(this.#run(value, work, options));
  }

  /** Who leads, as of now; `undefined` if nobody does. @throws the reason of `wait.signal`, WaitTimeoutError. */
  async leader(wait: WaitOptions = {}): Promise<ElectionEntry | undefined> {
    const { terms } = this.#contest;
    return this.#contest.leaderAmong(await pairsIn(this.session, terms, this.#what, wait));
  }

  /** Who leads and who stands, as of now. @throws the reason of `wait.signal`, WaitTimeoutError. */
  async inspect(wait: WaitOptions = {}): Promise<ElectionState> {
    const { all } = this.#contest;
    return this.#contest.stateOf(await pairsIn(this.session, all, this.#what, wait));
  }

  /**
   * Who leads now, and then every leader, every value that one proclaims, and every vacancy, in order and through outages. Where
   * one leader follows the other in one step, there is no vacancy. Ends when the loop is left, or with an error that says
   * why.
   *
   * @throws the reason of `options.signal`; ClosedError if the session is closed; RefusedError if the keys may not be read.
   */
  async *watch({ signal }: Pick<WaitOptions, 'signal'> = {}): AsyncGenerator<LeaderChange, void> {
    const { store, closing, clock } = this.session;
    const scope = waitScope(signal ? { signal } : {}, closing, clock);
    const state = new KeyedState();
    let told: LeaderChange | undefined;
    try {
      const options = { initial: true, signal: scope.signal };
      const watching = new Watching(store, this.#contest.terms, options, clock);
      for await (const batch of watching.revisions()) {
        const leader = this.#contest.leaderAmong(state.apply(batch));
        const missed = batch.origin === 'resync';
        if (told && !missed && isSame(told.leader, leader)) continue;
        told = { leader, revision: batch.revision, missed };
        yield told;
      }
    } finally {
      scope.dispose();
    }
  }

  /**
   * Asks who leads to resign: `term.onRevokeRequest` tells them, and nothing else happens. Gives who was asked, if anybody led.
   *
   * @throws ArgumentError in the layout `go`, where the value has no room for it.
   * @throws UnavailableError if etcd did not answer in time; they may have been asked.
   */
  async requestRevoke(
    reason: string,
    options: CallOptions = {},
  ): Promise<readonly ElectionEntry[]> {
    if (this.#isShared) {
      throw new ArgumentError('requestRevoke', "used in the layout 'recipes' only", reason);
    }
    return this.#intervention.request(await this.#leaders(options), reason, options);
  }

  /**
   * Ends the term of who leads, who loses it (`deleted`) one event later, and stands no more; the first of those who wait leads.
   * Gives who lost it, if anybody led. `audit` tells of it.
   *
   * @throws UnavailableError if etcd did not answer in time; they may have lost it.
   */
  async forceRelease(reason: string, options: CallOptions = {}): Promise<readonly ForcedHolder[]> {
    return this.#intervention.force(await this.#leaders(options), reason, options);
  }

  /** Terms that were ended by `forceRelease`, the oldest first. They are kept until somebody deletes them. */
  audit(options: CallOptions = {}): Promise<readonly ForcedRelease[]> {
    return this.#intervention.audit(options);
  }

  async #leaders(wait: WaitOptions): Promise<ElectionEntry[]> {
    const leader = await this.leader(wait);
    return leader ? [leader] : [];
  }

  async #run<T>(
    value: string,
    work: (term: Term) => Promise<T> | T,
    { stopWithin = 1_000, onOverrun = 'event', ...wait }: RunOptions,
  ): Promise<T> {
    checkRun({ stopWithin, onOverrun });
    const overrun = (term: Term): void => {
      this.emit('overrun', this.#eventOf(term));
      if (typeof onOverrun === 'function') onOverrun(this.#eventOf(term));
      else if (onOverrun === 'exit') process.exit(1);
    };
    const { clock } = this.session;
    for (;;) {
      const term = await this.#campaignAgain(value, wait);
      this.#served.add(term);
      const outcome = await serve(term, work, { stopWithin, clock, overrun });
      if (!outcome) continue;
      if ('error' in outcome) throw outcome.error;
      return outcome.result;
    }
  }

  async #campaignAgain(value: string, wait: WaitOptions): Promise<Term> {
    for (;;) {
      try {
        return await this.campaign(value, wait);
      } catch (error) {
        if (!isLoss(error)) throw error;
      }
    }
  }

  #elected(term: Term, waited: number): Term {
    this.emit('elected', { ...this.#eventOf(term), waited });
    return term;
  }

  #onLost(term: Hold): void {
    const reason = term.lost ?? 'deleted';
    // Its key is still there.
    if (reason === 'unhealthy' && !this.#served.has(term)) term.release().catch(() => {});
    this.emit('lost', { ...this.#eventOf(term), reason });
  }

  #eventOf({ key, token }: Hold): TermEvent {
    return { name: this.name, key, token };
  }
}

function isSame(a: ElectionEntry | undefined, b: ElectionEntry | undefined): boolean {
  return a?.token === b?.token && a?.value === b?.value;
}
