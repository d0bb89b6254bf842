import type { Health } from '../core/health.js';
import type { Session } from '../core/session/session.js';
import { type WaitOptions, waitScope } from '../core/time/signals.js';
import type { Contest, ContestListener } from './contest.js';
import type { Term } from './term.js';

/** Campaigns for somebody who stands, and leads, only while well. */
export class HealthyContest implements Pick<Contest, 'campaign' | 'tryCampaign'> {
  readonly #contest: Contest;
  readonly #health: Health;
  readonly #session: Session;
  readonly #what: string;

  /** A wait in vain is told to be for `what`. */
  constructor(contest: Contest, health: Health, session: Session, what: string) {
    this.#contest = contest;
    this.#health = health;
    this.#session = session;
    this.#what = what;
  }

  async campaign(value: string, wait: WaitOptions, listener: ContestListener): Promise<Term> {
    const { closing, clock } = this.#session;
    const scope = waitScope(wait, closing, clock, this.#what);
    try {
      for (;;) {
        await this.#health.well(scope.signal);
        const term = await this.#whileWell(value, scope.signal, listener);
        if (term) return this.#tended(term);
      }
    } finally {
      scope.dispose();
    }
  }

  async tryCampaign(
    value: string,
    wait: WaitOptions,
    listener: ContestListener,
  ): Promise<Term | undefined> {
    const { closing, clock } = this.#session;
    const scope = waitScope(wait, closing, clock, this.#what);
    try {
      if (!(await this.#health.isWell(scope.signal))) return undefined;
      const term = await this.#contest.tryCampaign(value, { signal: scope.signal }, listener);
      return term && this.#tended(term);
    } finally {
      scope.dispose();
    }
  }

  /** `undefined` if we are not well any more before we are elected. */
  async #whileWell(
    value: string,
    signal: AbortSignal,
    listener: ContestListener,
  ): Promise<Term | undefined> {
    const [over, ill] = [new AbortController(), new AbortController()];
    const scope = waitScope({ signal: ill.signal }, signal, this.#session.clock);
    void this.#whenIll(over.signal, () => ill.abort());
    try {
      return await this.#contest.campaign(value, { signal: scope.signal }, listener);
    } catch (error) {
      if (error !== ill.signal.reason) throw error;
      return undefined;
    } finally {
      over.abort();
      scope.dispose();
    }
  }

  #tended(term: Term): Term {
    void this.#whenIll(term.over, () => term.fail());
    return term;
  }

  async #whenIll(over: AbortSignal, tell: () => void): Promise<void> {
    if (await this.#health.ill(over)) tell();
  }
}
