import { contend } from '../core/line/contend.js';
import type { Grant } from '../core/line/grant.js';
import { ticketOf } from '../core/line/ticket.js';
import type { Lease } from '../core/session/lease.js';
import type { Session } from '../core/session/session.js';
import type { LossReason } from '../core/store/errors.js';
import { folderOf, type KeyRange, prefixRange } from '../core/store/keys.js';
import type { KeyValue } from '../core/store/store.js';
import type { WaitOptions } from '../core/time/signals.js';
import { type Traces, tell, traced } from '../core/trace.js';
import { Ballot } from './ballot.js';
import { Candidate } from './candidate.js';
import type { Contest, ContestListener } from './contest.js';
import {
  type ElectionEntry,
  type ElectionFolders,
  type ElectionState,
  electionEntryOf,
  foldersIn,
  lastPartOf,
  type Papers,
  Roll,
} from './roll.js';
import { Seat } from './seat.js';
import { type Office, Term } from './term.js';

const recipe = 'election';

/**
 * An election in which who leaves appoints the next, in the transaction by which he leaves: the term passes in one step. The
 * next learns of it from a watch that is live. Where nobody appoints, because the leader died, the first of those who stand
 * claims the term; all of them know from their watches who that is.
 */
export class RankedContest implements Contest {
  readonly all: KeyRange;
  readonly terms: KeyRange;
  readonly #session: Session;
  readonly #name: string;
  readonly #papers: Papers;
  readonly #folders: ElectionFolders;

  constructor(session: Session, name: string, papers: Papers) {
    this.#session = session;
    this.#name = name;
    this.#papers = papers;
    this.#folders = foldersIn(folderOf(recipe, name));
    this.all = this.#folders.all;
    this.terms = prefixRange(this.#folders.terms);
  }

  candidacyOf(term: string): readonly string[] {
    return [this.#folders.candidates + lastPartOf(term)];
  }

  leaderAmong([term]: readonly KeyValue[]): ElectionEntry | undefined {
    return term && electionEntryOf(term);
  }

  stateOf(kvs: readonly KeyValue[]): ElectionState {
    const { term, ranked } = new Roll(this.#folders, kvs);
    return { leader: term && electionEntryOf(term), candidates: ranked.map(electionEntryOf) };
  }

  campaign(value: string, wait: WaitOptions, listener: ContestListener): Promise<Term> {
    const work = async (candidate: Candidate, signal: AbortSignal): Promise<Term> => {
      const alone = await candidate.stand(signal);
      return this.#follow(async (ballot) => {
        const token = alone ?? (await this.#wait(candidate, ballot, signal, listener));
        return this.#lead(candidate, token, ballot, signal, listener);
      });
    };
    const trace = (): Traces['wait'] => ({ recipe, verb: 'campaign', name: this.#name });
    return traced('wait', trace, () => this.#contend(value, wait, work));
  }

  tryCampaign(
    value: string,
    wait: WaitOptions,
    listener: ContestListener,
  ): Promise<Term | undefined> {
    return this.#contend(value, wait, async (candidate, signal) => {
      const token = await candidate.tryStand(signal);
      if (!token) return undefined;
      return this.#follow((ballot) => this.#lead(candidate, token, ballot, signal, listener));
    });
  }

  #contend<T>(
    value: string,
    wait: WaitOptions,
    work: (candidate: Candidate, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const session = this.#session;
    const make = (lease: Lease): Candidate =>
      new Candidate(lease, session.store, this.#folders, this.#encode(value));
    return contend(session, `${recipe} ${this.#name}`, wait, make, work);
  }

  async #wait(
    candidate: Candidate,
    ballot: Ballot,
    signal: AbortSignal,
    listener: ContestListener,
  ): Promise<bigint> {
    listener.waiting();
    for (let seen = candidate.token - 1n; ; ) {
      seen = await ballot.after(seen, candidate.name, signal);
      const token = await candidate.takeTurn(ballot.roll, signal);
      if (token) return token;
    }
  }

  #lead(
    candidate: Candidate,
    token: bigint,
    ballot: Ballot,
    signal: AbortSignal,
    listener: ContestListener,
  ): Term {
    const { clock, fate } = candidate.lease;
    // After the event loop stood still, the answer may be read before the timers run that would have ended the wait.
    fate.signal.throwIfAborted();
    signal.throwIfAborted();
    const seat = new Seat(candidate, token, this.#folders, ballot);
    const granted = clock.now();
    const end = (lost?: LossReason): void => {
      ballot.close();
      const held = clock.now() - granted;
      tell('hold', () => ({ recipe, name: this.#name, held, lost }));
    };
    const isAppointed = token <= ballot.revision;
    const grant: Grant = {
      place: seat,
      revision: isAppointed ? ballot.revision : token,
      watched: [this.terms],
      // The event that told so may have been delivered late.
      verify: isAppointed,
      onLost: (term) => {
        end(term.lost);
        listener.lost(term);
      },
      onRelease: end,
      onGone: () => {},
    };
    return new Term(this.#session.store, grant, this.#officeOf(seat));
  }

  #officeOf(seat: Seat): Office {
    return {
      encode: (value) => this.#encode(value),
      nominate: async (id, options) => {
        const { kvs } = await this.#session.store.read(this.all, options);
        const { ranked } = new Roll(this.#folders, kvs);
        const heir = ranked.find((kv) => electionEntryOf(kv).id === id);
        return heir && (() => (seat.heir = heir));
      },
    };
  }

  /** Opens the ballot for a term, which closes it in the end, unless there is none. */
  async #follow(work: (ballot: Ballot) => Promise<Term> | Term): Promise<Term> {
    const { store, clock } = this.#session;
    const ballot = Ballot.open(store, this.#folders, clock);
    try {
      return await work(ballot);
    } catch (error) {
      ballot.close();
      throw error;
    }
  }

  #encode(value: string): string {
    return ticketOf(this.#session.owner, { ...this.#papers, value }) as string;
  }
}
