import type { WatchBatch, WatchChange } from '../core/events/change-queue.js';
import { fieldsIn, presenceIn } from '../core/line/ticket.js';
import type { Owner } from '../core/session/session.js';
import { keyId, prefixRange } from '../core/store/keys.js';
import { RangeReader } from '../core/store/range-reader.js';
import type { KeyValue } from '../core/store/store.js';
import { onAbort } from '../core/time/signals.js';
import { Watching } from '../core/watch/watching.js';
import { decodeRecord, type JobHeader } from './job-record.js';
import { jsonIn } from './job-view.js';
import type { QueueParts } from './queue-parts.js';

/** What happened to a job, as all processes see it. */
export type JobEvent = {
  /** The job's. */
  readonly id: string;
  /** At which it happened. */
  readonly revision: bigint;
} & (
  | { readonly type: 'put' }
  | { readonly type: 'claimed'; readonly by: Owner | undefined }
  | { readonly type: 'progress'; readonly value: unknown }
  /** It waits again: given back, put again from the dead letters, after its delay, or its taker died. */
  | { readonly type: 'returned' }
  | { readonly type: 'delayed' }
  | { readonly type: 'done'; readonly result: unknown }
  /** It was given up: is kept as a dead letter, or was deleted. */
  | { readonly type: 'dead'; readonly reason: string | undefined }
  /** Or cleared; then nobody says why. */
  | { readonly type: 'cancelled'; readonly reason: string | undefined }
);

/** What happened, without which job, and when. */
type Happening = JobEvent extends infer Each
  ? Each extends JobEvent
    ? Omit<Each, 'id' | 'revision'>
    : never
  : never;

/** What happened to the keys of one job at once. */
interface Traces {
  record?: WatchChange;
  claim?: WatchChange;
  progress?: WatchChange;
  mark?: WatchChange;
  delayed?: WatchChange;
  dead?: WatchChange;
  done?: WatchChange;
  /** Whether the record has another name than the job. */
  isMoved?: boolean;
  /** Why it is gone, where nothing else tells. */
  untold?: Happening;
}

/**
 * What happens to the jobs of a queue, for one `for await` loop: told by what becomes of their keys, through outages. Of what etcd
 * has forgotten meanwhile, only what it came to is told. It begins at once, and ends when the loop is left, or with `close`.
 */
export class QueueWatch implements AsyncIterable<JobEvent> {
  /** Settles when everything from here on will be told. Rejects if the watch ends before. */
  readonly ready: Promise<void>;
  readonly #watching: Watching;
  readonly #parts: Pick<QueueParts<unknown>, 'session' | 'keys'>;
  readonly #names: Names;
  readonly #life = new AbortController();
  /** As of which revision names are known: those of jobs that ended before are not. */
  #since = 0n;
  #isClosed = false;
  readonly #forget: () => void;

  constructor(
    parts: Pick<QueueParts<unknown>, 'session' | 'keys'>,
    options: { readonly signal?: AbortSignal },
  ) {
    const { store, clock } = parts.session;
    this.#parts = parts;
    this.#watching = new Watching(store, prefixRange(parts.keys.folder), options, clock);
    this.#names = new Names(parts.keys);
    this.ready = this.#begin();
    this.ready.catch(() => {});
    this.#forget = onAbort(options.signal, () => this.#life.abort(options.signal?.reason));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<JobEvent, void, void> {
    const batches = this.#watching.revisions();
    try {
      await this.ready;
      for await (const batch of batches) {
        if (batch.revision <= this.#since) continue;
        for (const [id, traces] of this.#names.jobsIn(batch)) {
          const what = happeningOf(traces);
          if (what) yield { id, revision: batch.revision, ...what };
        }
      }
    } catch (error) {
      if (!this.#isClosed) throw error;
    } finally {
      this.close();
    }
  }

  /** Ends the watch, and the loop over it without an error. */
  close(): void {
    this.#isClosed ||= !this.#life.signal.aborted;
    this.#watching.close();
    this.#forget();
    this.#life.abort();
  }

  /** The same as `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** What the records are called that there are is not told of. */
  async #begin(): Promise<void> {
    const { session, keys } = this.#parts;
    await this.#watching.ready;
    const { store, clock } = session;
    const reader = new RangeReader(store, prefixRange(keys.aliases), this.#life.signal, clock);
    const { revision, kvs } = await reader.now(false);
    this.#since = revision;
    for (const kv of kvs) this.#names.learn(kv);
  }
}

/** Which job a key is of. */
class Names {
  readonly #keys: QueueParts<unknown>['keys'];
  /** The names of jobs whose records have others. */
  readonly #moved = new Map<string, string>();

  constructor(keys: QueueParts<unknown>['keys']) {
    this.#keys = keys;
  }

  jobsIn({ changes }: WatchBatch): Map<string, Traces> {
    const jobs = new Map<string, Traces>();
    const { ready, aliases, cleared } = this.#keys;
    for (const { type, kv } of changes) {
      if (type === 'put' && keyId(kv.key).startsWith(aliases)) this.learn(kv);
    }
    const gone: string[] = [];
    for (const change of changes) {
      const key = keyId(change.kv.key);
      if (key === cleared) this.#learnOf(jobs, change);
      const found = this.#traceIn(key, change);
      if (!found) continue;
      const id = this.#moved.get(found.place) ?? found.place;
      const isMoved = id !== found.place;
      const before = jobs.get(id);
      // What is there now counts, where etcd has forgotten which came first.
      jobs.set(
        id,
        change.type === 'put'
          ? { ...before, ...found.trace, ...(isMoved && { isMoved }) }
          : { ...found.trace, ...before },
      );
      if (key === ready + found.place && change.type === 'delete') gone.push(found.place);
    }
    for (const place of gone) this.#moved.delete(place);
    return jobs;
  }

  /** The record of a job has another name. */
  learn({ key, value }: KeyValue): void {
    this.#moved.set(value.toString(), keyId(key).slice(this.#keys.aliases.length));
  }

  #learnOf(jobs: Map<string, Traces>, { kv }: WatchChange): void {
    const { ids, type, reason } = fieldsIn(kv.value);
    if (!Array.isArray(ids) || (type !== 'dead' && type !== 'cancelled')) return;
    const untold: Happening = { type, reason: textIn(reason) };
    for (const id of ids.map(String)) jobs.set(id, { ...jobs.get(id), untold });
  }

  #traceIn(key: string, change: WatchChange): { place: string; trace: Traces } | undefined {
    const { ready, delayed, dead, done } = this.#keys;
    for (const [what, folder] of Object.entries({ delayed, dead, done })) {
      if (!key.startsWith(folder)) continue;
      const place = key.slice(folder.length);
      return place.includes('!') ? undefined : { place, trace: { [what]: change } };
    }
    if (!key.startsWith(ready)) return undefined;
    const [place = '', beside] = key.slice(ready.length).split('!', 2);
    if (beside === undefined) return { place, trace: { record: change } };
    if (beside.startsWith('c/')) return { place, trace: { claim: change } };
    if (beside === 'p') return { place, trace: { progress: change } };
    return beside === 'x' ? { place, trace: { mark: change } } : undefined;
  }
}

function happeningOf(traces: Traces): Happening | undefined {
  const { record, claim, progress, mark, delayed, dead, done, untold, isMoved } = traces;
  if (isPut(mark)) return { type: 'cancelled', reason: textIn(fieldsIn(mark.kv.value)['reason']) };
  const ended = [done, dead].find(isPut);
  if (ended) return endOf(ended, ended === dead);
  // When it is due is written later.
  if (isPut(delayed)) {
    return delayed.kv.version === 1n || record ? { type: 'delayed' } : undefined;
  }
  if (isPut(record)) {
    const isNew = record.kv.version === 1n && !dead && !delayed && !isMoved;
    return { type: isNew ? 'put' : 'returned' };
  }
  if (isPut(claim)) return { type: 'claimed', by: presenceIn(claim.kv.value).owner };
  const cancelled = { type: 'cancelled', reason: undefined } as const;
  if (record) return untold ?? (claim ? { type: 'done', result: undefined } : cancelled);
  if (claim) return { type: 'returned' };
  if (isPut(progress)) return { type: 'progress', value: valueIn(progress.kv.value) };
  // Whoever brought it back would have put it elsewhere.
  return delayed ? (untold ?? cancelled) : undefined;
}

function endOf({ kv }: WatchChange, isDead: boolean): Happening {
  const header = headerIn(kv.value);
  if (header?.cancelled) return { type: 'cancelled', reason: header.cancelled.reason };
  if (isDead) return { type: 'dead', reason: header?.reason };
  return { type: 'done', result: valueIn(kv.value.subarray(kv.value.indexOf('\n') + 1)) };
}

function isPut(change: WatchChange | undefined): change is WatchChange {
  return change?.type === 'put';
}

function headerIn(value: Buffer): JobHeader | undefined {
  try {
    return decodeRecord('', value).header;
  } catch {
    return undefined;
  }
}

function valueIn(bytes: Buffer): unknown {
  try {
    return jsonIn(bytes);
  } catch {
    return undefined;
  }
}

function textIn(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
