import { hashOf, mixed } from '../core/hash.js';
import { contend } from '../core/line/contend.js';
import { Place } from '../core/line/place.js';
import { ticketOf } from '../core/line/ticket.js';
import type { Lease } from '../core/session/lease.js';
import type { Session } from '../core/session/session.js';
import { deferred } from '../core/time/deferred.js';
import type { QueueKeys } from './queue-keys.js';
import type { QueueState } from './queue-state.js';
import type { Ready } from './ready.js';

/** Milliseconds after which the next nearest process may take a job: twice as many as a claim takes, within these. */
const graces = { min: 8, max: 200 };
/** Who has jobs of its own takes those of others that it has passed over for so many times as long. */
const forbearance = 16;

/** That this process takes jobs. */
class Membership extends Place {
  constructor(lease: Lease, { store, owner }: Session, folder: string) {
    super(lease, store, [folder], ticketOf(owner));
  }

  async join(signal: AbortSignal): Promise<void> {
    const { reply } = await this.put([], [], signal);
    this.token = reply.revision;
  }
}

/**
 * Which jobs are for which process. For each job the processes that take jobs have an order (Thaler and Ravishankar's rendezvous
 * hashing, 1998), the same for all of them: the first takes it at once, the second if it is still there after a moment,
 * after another moment the next two, then the next four. So most jobs are claimed by one process only, and none waits long for
 * one that is busy.
 */
export class Affinity {
  readonly #session: Session;
  readonly #folder: string;
  readonly #state: Pick<QueueState, 'consumers'>;
  #takers: Takers = { all: new Set(), own: undefined, ours: 0, others: [] };
  /** Milliseconds that a claim takes, about. */
  #claims = 2;
  /** Since when there were not enough jobs that are nearest to us. */
  #hungrySince: number | undefined;
  #own: Membership | undefined;
  #joining: Promise<void> | undefined;

  constructor(session: Session, keys: QueueKeys, state: Pick<QueueState, 'consumers'>) {
    this.#session = session;
    this.#folder = keys.consumers;
    this.#state = state;
  }

  /** Has others know that we take jobs. What fails is tried again the next time. */
  async join(): Promise<void> {
    const session = this.#session;
    if (this.#own && !this.#own.lease.signal.aborted) return;
    if (this.#joining) return this.#joining;
    const make = (lease: Lease): Membership => new Membership(lease, session, this.#folder);
    const joined = contend(session, 'queue', {}, make, async (place, signal) => {
      await place.join(signal);
      this.#own = place;
    });
    const over = (): void => {
      this.#joining = undefined;
    };
    this.#joining = joined.then(over, over);
    return this.#joining;
  }

  leave(): void {
    this.#own?.withdraw();
    this.#own = undefined;
    // Nobody would take away what is just being put.
    void this.#joining?.then(() => this.leave());
  }

  /** A claim took so many milliseconds. */
  claimed(ms: number): void {
    this.#claims += (ms - this.#claims) / 16;
  }

  /** There are not enough jobs that nobody is nearer to. */
  get isHungry(): boolean {
    return this.#hungrySince !== undefined;
  }

  set isHungry(isHungry: boolean) {
    if (!isHungry) this.#hungrySince = undefined;
    else this.#hungrySince ??= this.#session.clock.now();
  }

  /**
   * Whether it is for us, now, who have come to it in the order of all. Who is hungry takes those, too, that at `most` so many are
   * nearer to, and have left for a moment; who is not, those that they still leave long after. In a long queue all are old: what
   * counts is when we came to it. Where it is not sure that it is there still, only if nobody is nearer.
   */
  isOurTurn(job: Ready, most: number, isSure: boolean): boolean {
    const rank = this.#rankOf(job);
    if (rank === 0) return true;
    if (!isSure) return false;
    const now = this.#session.clock.now();
    const grace = this.#graceOf(rank);
    job.passedAt ??= now;
    if (now - job.passedAt >= grace * forbearance) return true;
    return rank <= most && now >= this.#openFrom(job, now) + grace;
  }

  /** Waits until one of them may be for us, or there is news; for `most` milliseconds. */
  async nextTurn(
    jobs: Iterable<Ready>,
    news: Promise<void>,
    most: number = Infinity,
  ): Promise<void> {
    const { clock } = this.#session;
    const now = clock.now();
    let next = now + most;
    for (const job of jobs) {
      next = Math.min(next, this.#openFrom(job, now) + this.#graceOf(this.#rankOf(job)));
    }
    if (next === Infinity) return news;
    const turn = deferred<void>();
    // After a standstill timers come before what has arrived meanwhile: that others have taken it.
    const onTurn = (): void => void setImmediate(() => turn.resolve());
    const stop = clock.after(Math.max(0, next - now), onTurn);
    await Promise.race([turn.promise, news]);
    stop();
  }

  /** From when on it is waited for those who are nearer: not before there is too little of our own. */
  #openFrom({ since }: Ready, now: number): number {
    return Math.max(since, this.#hungrySince ?? now);
  }

  /** Milliseconds after which a job is for us to which so many are nearer. */
  #graceOf(rank: number): number {
    const grace = Math.min(Math.max(2 * this.#claims, graces.min), graces.max);
    return grace * Math.ceil(Math.log2(rank + 1));
  }

  /** How many are nearer to it. */
  #rankOf(job: Ready): number {
    const takers = this.#whoTakes();
    if (job.rank?.to === takers) return job.rank.count;
    // What follows it in its order is for who has done it, and knows first.
    const hash = hashOf(job.order ?? job.key);
    const ours = takers.own === undefined ? 0 : mixed(takers.ours ^ hash);
    const nearer = takers.others.filter((other) => mixed(other ^ hash) > ours);
    job.rank = { to: takers, count: nearer.length };
    return nearer.length;
  }

  #whoTakes(): Takers {
    const all = this.#state.consumers;
    const own = this.#own?.key;
    if (this.#takers.all === all && this.#takers.own === own) return this.#takers;
    const others = [...all].filter((each) => each !== own).map(hashOf);
    // Where there is but one, that may be us.
    const isAlone = all.size < 2;
    this.#takers = { all, own, ours: hashOf(own ?? ''), others: isAlone ? [] : others };
    return this.#takers;
  }
}

/** Those who take jobs, and who of them we are, by their hashes. */
interface Takers {
  readonly all: ReadonlySet<string>;
  readonly own: string | undefined;
  readonly ours: number;
  readonly others: readonly number[];
}
