import { contend } from '../core/line/contend.js';
import type { Lease } from '../core/session/lease.js';
import type { Session } from '../core/session/session.js';
import type { WaitOptions } from '../core/time/signals.js';
import { tell } from '../core/trace.js';
import type { Affinity } from './affinity.js';
import { Claim, type Claimed, type Outcome } from './claim.js';
import { ClaimHold } from './claim-hold.js';
import type { Front } from './front.js';
import type { Groups, Slot } from './groups.js';
import { decodeClaimed } from './job-record.js';
import type { Outbox } from './outbox.js';
import type { Ready } from './ready.js';
import type { Taken } from './steps.js';

/** Jobs that are claimed in one step, with room for what each of them takes of etcd's 128 operations. */
const most = 100;
/** Bytes of their records, about. */
const bytesTogether = 1_000_000;

/** A job that is to be claimed, and what was known then. */
export interface Choice {
  readonly job: Ready;
  readonly slot: Slot | undefined;
  readonly toldIn: bigint;
  readonly since: number;
  /** Of its group. */
  readonly news: number;
}

/** Jobs to be claimed in one step. */
export type Choices = readonly [Choice, ...Choice[]];

/** What a claimant works with. */
export interface ClaimantParts {
  readonly session: Session;
  readonly name: string;
  readonly front: Front;
  readonly groups: Groups;
  readonly affinity: Affinity;
  readonly outbox: Outbox;
}

/** Claims jobs of a queue for those who wait in this process. */
export class Claimant {
  readonly #parts: ClaimantParts;
  /** What is worked on here, by its record. */
  readonly #working = new Map<string, ClaimHold>();
  /** Bytes of a record, about. */
  #size = 1_000;

  constructor(parts: ClaimantParts) {
    this.#parts = parts;
  }

  /** How many jobs to claim in one step. */
  get together(): number {
    return Math.max(1, Math.min(most, Math.floor(bytesTogether / this.#size)));
  }

  /** Somebody has cancelled a job that was worked on, here or elsewhere. */
  cancelled(record: string): void {
    this.#working.get(record)?.suspect();
  }

  /** From here on a job is not there for others in this process: until `claim` is over, which is to follow. */
  choose(job: Ready): Choice {
    const { groups } = this.#parts;
    job.isOurs = true;
    const { toldIn, since } = job;
    return { job, slot: groups.take(job), toldIn, since, news: groups.news };
  }

  /**
   * Claims jobs in one step: as many of them, from the first on, as one lease has room for. Tells what came of each of these, which
   * is nothing where somebody else was faster.
   *
   * @throws the reason of `wait`'s end, or of the session's; RefusedError if that gets no lease.
   */
  async claim(
    choices: Choices,
    wait: WaitOptions = {},
  ): Promise<PromiseSettledResult<Taken | undefined>[]> {
    const { session, name, front, groups, affinity } = this.#parts;
    const { clock } = session;
    const began = clock.now();
    let results: PromiseSettledResult<Taken | undefined>[] = [];
    try {
      results = await contend(
        session,
        `queue ${name}`,
        wait,
        (lease) => new Group(session, lease, choices),
        async ({ claims }, signal) => {
          const outcomes = await Claim.takeAll(claims, signal);
          const settle = (claim: Claim, i: number): Promise<Taken | undefined> =>
            this.#settle(choices[i] as Choice, claim, outcomes[i], began);
          return await Promise.allSettled(claims.map(settle));
        },
      );
      return results;
    } finally {
      affinity.claimed(clock.now() - began);
      for (const [i, { job, slot }] of choices.entries()) {
        const result = results[i];
        front.letGo(job);
        if (slot && !(result?.status === 'fulfilled' && result.value)) groups.letGo(slot);
      }
    }
  }

  async #settle(
    choice: Choice,
    claim: Claim,
    outcome: Outcome | Promise<Outcome>,
    began: number,
  ): Promise<Taken | undefined> {
    const { name, front, groups } = this.#parts;
    const { job, toldIn, news } = choice;
    try {
      const found = await outcome;
      tell('claim', () => ({ name, won: found !== undefined }));
      if (found) return this.#taken(choice, claim, found, began);
      if (claim.unanswered) claim.withdraw();
      else claim.giveBackKeys();
      if (job.group === undefined || groups.news === news) front.refuse(job, toldIn);
      return undefined;
    } catch (error) {
      claim.withdraw();
      throw error;
    }
  }

  #taken({ job, slot, since }: Choice, claim: Claim, found: Claimed, began: number): Taken {
    const { session, front, groups, outbox } = this.#parts;
    front.take(job, claim.key, claim.token);
    outbox.saw(claim.token);
    const { value } = found.record;
    this.#size += (value.length - this.#size) / 16;
    const record = decodeClaimed(job.key, value);
    const hold = new ClaimHold(session.store, claim, () => {
      if (slot) groups.letGo(slot, claim.keys[1]);
      // We may have it again by now.
      if (this.#working.get(job.key)?.token === claim.token) this.#working.delete(job.key);
    });
    if (!hold.lost) this.#working.set(job.key, hold);
    return {
      hold,
      record,
      attempt: (record.header.tried ?? 0) + found.tries,
      waited: began - since,
      ended: () => front.ended(job),
      returned: (keys) => front.returned(job, keys),
    };
  }
}

/** What was claimed. */
export function takenOf(results: Awaited<ReturnType<Claimant['claim']>>): Taken[] {
  return results.flatMap((result) => (result.status === 'fulfilled' && result.value) || []);
}

/** Claims that are sent together. */
class Group {
  readonly claims: [Claim, ...Claim[]];

  constructor(session: Session, lease: Lease, choices: Choices) {
    const [first, ...others] = choices;
    this.claims = [new Claim(lease, session, first.job, first.slot)];
    for (const { job, slot } of others) {
      if (session.freeLease !== lease) break;
      this.claims.push(new Claim(lease, session, job, slot));
    }
  }

  withdraw(): void {
    for (const claim of this.claims) claim.withdraw();
  }
}
