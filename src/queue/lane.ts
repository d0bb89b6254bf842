import { keyId } from '../core/store/keys.js';
import type { KeyValue, RangeRequest } from '../core/store/store.js';
import type { JobKeys } from './claim-hold.js';
import type { Groups } from './groups.js';
import { LanePages } from './lane-pages.js';
import { OrderLines } from './order-lines.js';
import { groupOf, orderOf, type QueueKeys } from './queue-keys.js';
import { isBefore, isFree, type Ready } from './ready.js';

/** Who has a claim that nobody has told of yet. */
const elsewhere = 'elsewhere';

/**
 * Jobs of one priority, as far as they are known. Their keys begin with revisions at or before those at which they were put. So
 * where all keys up to some revision were read, all jobs are known that were put before it: those may be taken, in the order of
 * the revisions at which they were put. And so are those that wait for others of the same order: what such a job waits for was put
 * before it, so it is known by the time that the job itself may be taken, on whatever pages the two are.
 */
export class Lane {
  readonly #pages: LanePages;
  readonly #groups: Pick<Groups, 'hasRoom'>;
  readonly #folder: number;
  readonly #jobs = new Map<string, Ready>();
  readonly #lines = new OrderLines();
  /** Those that may be claimed in their order, with some that may not, or not any more. */
  #list: Ready[] = [];
  /** How many at the beginning are out of the question. */
  #passed = 0;
  #isSorted = true;

  /** @param page - about so many keys are read at once */
  constructor(keys: QueueKeys, priority: number, groups: Pick<Groups, 'hasRoom'>, page?: number) {
    this.#groups = groups;
    this.#folder = keys.ready.length;
    this.#pages = new LanePages(keys.lane(priority), this.#folder, page);
  }

  /** How many jobs are known. */
  get size(): number {
    return this.#jobs.size;
  }

  /** Whether there are no jobs beyond those that are known. */
  get isComplete(): boolean {
    return this.#pages.isComplete;
  }

  /** Whether it was read to its end, though perhaps not at one revision. */
  get isThrough(): boolean {
    return this.#pages.isThrough;
  }

  /** Whether it was begun to be read, and not to its end. */
  get hasMore(): boolean {
    return this.#pages.hasMore;
  }

  /** Whether none may be claimed, and there may be others before those that were read. */
  get isBlind(): boolean {
    return this.#pages.isPart && this.claimable().next().done === true;
  }

  /** What is known may be old: it is to be read again. */
  forget(): void {
    this.#pages.forget();
  }

  /** Jobs that may be claimed, in their order. Returns whether there are no others to come before jobs of other lanes. */
  *claimable(): Generator<Ready, boolean> {
    this.#sort();
    const list = this.#list;
    for (let job = list[this.#passed]; job && !this.#isFree(job); job = list[this.#passed]) {
      job.isListed = false;
      this.#passed += 1;
    }
    for (let i = this.#passed; i < list.length; i += 1) {
      const job = list[i] as Ready;
      if (!this.isComplete && job.created >= this.#pages.bound) return false;
      if (this.#isFree(job) && this.#groups.hasRoom(job)) yield job;
    }
    return this.isThrough;
  }

  /** We are about to claim a job no more. */
  letGo(job: Ready, now: number): void {
    job.isOurs = false;
    this.#offer(job, now);
  }

  /** A job is claimed by us, by a key that was put at this revision. */
  take(job: Ready, claim: string, token: bigint): void {
    // It may have been told by now that it is no more.
    if (job.toldIn >= token) return;
    job.claim = claim;
    job.toldIn = token;
  }

  /** A job is claimed by us no more: these are its keys then. */
  giveBack(job: Ready, { kvs, revision }: JobKeys, now: number): void {
    if (job.toldIn >= revision) return;
    const records = kvs.filter((kv) => this.#read(keyId(kv.key), kv, revision, now));
    if (records.length === 0) this.drop(job, now);
  }

  /** A job could not be claimed, as it was told of at `toldIn`: until something new is told, it is not looked at. */
  refuse(job: Ready, toldIn: bigint): void {
    if (job.toldIn === toldIn) job.claim = elsewhere;
  }

  /** What kept us from claiming it may be over. */
  retry(job: Ready, now: number): void {
    if (job.claim !== elsewhere) return;
    job.claim = undefined;
    this.#offer(job, now);
  }

  /** What to read: see `LanePages`. */
  next(from: Parameters<LanePages['next']>[0]): RangeRequest {
    const [free] = this.claimable();
    return this.#pages.next(from, free !== undefined);
  }

  /** Takes up what was read, of `count` keys that there are. */
  learn(kvs: readonly KeyValue[], count: number, revision: bigint, now: number): void {
    const found = new Set<string>();
    for (const kv of kvs) {
      const key = keyId(kv.key);
      if (this.#read(key, kv, revision, now)) found.add(key);
    }
    const { from, to } = this.#pages.took(kvs, count, revision);
    for (const [key, job] of this.#jobs) {
      const isThere = found.has(key) || job.toldIn > revision;
      if (!isThere && key >= from && key < to) this.drop(job, now);
    }
  }

  /** A key of the lane was put. */
  put(key: string, kv: KeyValue, now: number): void {
    const job = this.#jobs.get(this.#pages.recordOf(key));
    if (!job || this.#tell(job, kv.modRevision, now)) this.#set(key, kv, now);
  }

  /** It is there no more, as we know by now. */
  drop(job: Ready, now: number): void {
    if (this.#jobs.get(job.key) === job) this.#jobs.delete(job.key);
    job.isGone = true;
    const next = this.#lines.remove(job);
    if (next) this.#offer(next, now);
  }

  /** A key was there at a revision. Says whether it is a record. */
  #read(key: string, kv: KeyValue, revision: bigint, now: number): boolean {
    const record = this.#pages.recordOf(key);
    const known = this.#jobs.get(record);
    if (key === record) this.#free(known, revision, now);
    // Our own claim may have come after this was read.
    if (known && known.toldIn > revision) return key === record;
    this.#set(key, kv, now);
    const job = this.#jobs.get(record);
    if (job) {
      job.readAt = now;
      job.toldIn = revision;
    }
    return key === record;
  }

  #set(key: string, kv: KeyValue, now: number): void {
    const record = this.#pages.recordOf(key);
    const job = this.#jobs.get(record);
    if (key === record) {
      if (job) job.modified = kv.modRevision;
      if (job?.created !== kv.createRevision) {
        if (job) this.drop(job, now);
        this.#add(key, kv, now);
      }
    } else if (job && key.startsWith('!c/', record.length)) {
      job.claim = key;
    } else if (job && key.endsWith('!d')) {
      job.rests = true;
    }
  }

  /** A key of the lane was deleted. */
  delete(key: string, revision: bigint, now: number): void {
    const record = this.#pages.recordOf(key);
    const job = this.#jobs.get(record);
    if (!job || !this.#tell(job, revision, now)) return;
    if (key === record) this.drop(job, now);
    else if (key === job.claim) job.claim = undefined;
    else if (key.endsWith('!d')) job.rests = false;
    this.#offer(job, now);
  }

  /** Something is told of a job. Says whether it is news. */
  #tell(job: Ready, revision: bigint, now: number): boolean {
    if (revision < job.toldIn) return false;
    job.toldIn = revision;
    this.retry(job, now);
    return true;
  }

  /** What keeps it from being claimed is read after it, if it is still there. */
  #free(job: Ready | undefined, revision: bigint, now: number): void {
    if (!job || job.toldIn > revision || !(job.claim || job.rests)) return;
    job.claim = undefined;
    job.rests = false;
    this.#offer(job, now);
  }

  #isFree(job: Ready): boolean {
    return isFree(job) && this.#lines.isFirst(job);
  }

  /** It may be claimed from now on, as far as it is known here. */
  #offer(job: Ready, now: number): void {
    job.since = now;
    job.passedAt = undefined;
    if (job.isListed || !this.#isFree(job)) return;
    job.isListed = true;
    const last = this.#list.at(-1);
    if (last && !isBefore(last, job)) this.#isSorted = false;
    this.#list.push(job);
  }

  #add(key: string, { createRevision, modRevision }: KeyValue, now: number): void {
    const id = key.slice(this.#folder);
    const job: Ready = {
      key,
      order: orderOf(id),
      group: groupOf(id),
      created: createRevision,
      modified: modRevision,
      claim: undefined,
      rests: false,
      since: now,
      passedAt: undefined,
      rank: undefined,
      readAt: now,
      toldIn: modRevision,
      isOurs: false,
      isGone: false,
      isListed: false,
    };
    this.#jobs.set(key, job);
    this.#lines.add(job);
    this.#offer(job, now);
  }

  #sort(): void {
    // One that nobody may take yet stays at the beginning while many come and go behind it.
    const isLong = this.#list.length > 2 * this.#jobs.size + 1_000;
    if (this.#isSorted && !isLong) return;
    this.#list = this.#list.filter((job, i) => {
      if (job.isGone) job.isListed = false;
      return i >= this.#passed && !job.isGone;
    });
    this.#passed = 0;
    if (!this.#isSorted) this.#list.sort((a, b) => (isBefore(a, b) ? -1 : 1));
    this.#isSorted = true;
  }
}
