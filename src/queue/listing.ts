import { inParts } from '../core/in-parts.js';
import { LimitError } from '../core/store/errors.js';
import { keyAfter } from '../core/store/key-span.js';
import { type Data, keyId, prefixEnd } from '../core/store/keys.js';
import type { CallOptions, KeyValue, Store } from '../core/store/store.js';
import { nonEmpty, oneOf, wholeFrom } from '../core/validate.js';
import { type JobState, type JobView, viewOf } from './job-view.js';
import { allOf, claimsOf, restOf } from './queue-keys.js';
import type { QueueParts } from './queue-parts.js';

/** Which part of a list is asked for. */
export interface PageOptions extends CallOptions {
  /** How many jobs at most. @defaultValue 100 */
  readonly limit?: number;
  /** Where to go on: `next` of the page before. @defaultValue at the beginning */
  readonly after?: string;
}

/** A part of a list. */
export interface JobPage<T> {
  readonly jobs: readonly JobView<T>[];
  /** Goes on after these; `undefined` at the end. */
  readonly next: string | undefined;
}

/** The keys of a job, without their values. */
export interface Sketch {
  /** Of its record. */
  readonly key: string;
  /** Of one in the queue. */
  readonly state: 'ready' | 'claimed' | 'resting';
}

const states: readonly JobState[] = ['ready', 'claimed', 'resting', 'delayed', 'dead', 'done'];
/** So many keys are looked at at once. */
const keysAtOnce = 2_000;
/** So many jobs are read at once, with all that there is of them. */
const jobsAtOnce = 50;

/** What there is in a queue, for people to look at. */
export class Listing<T> {
  readonly #parts: QueueParts<T>;

  constructor(parts: QueueParts<T>) {
    this.#parts = parts;
  }

  /** Jobs in one state, in about the order in which they come. @throws ArgumentError, UnavailableError */
  async page(
    state: JobState,
    { limit = 100, after, ...options }: PageOptions = {},
  ): Promise<JobPage<T>> {
    oneOf('state', state, states);
    wholeFrom(1, 'limit', limit);
    if (after !== undefined) nonEmpty('after', after);
    const folder = this.#folderOf(state);
    const isWanted = (sketch: Sketch): boolean =>
      folder !== this.#parts.keys.ready || sketch.state === state;
    const from = after === undefined ? folder : (allOf(folder + after).end as string);
    const found: string[] = [];
    let isMore = false;
    const { store } = this.#parts.session;
    for await (const sketches of sketchesOf(store, folder, from, options)) {
      const wanted = sketches.filter(isWanted).map(({ key }) => key);
      const room = limit - found.length;
      found.push(...wanted.slice(0, room));
      isMore = wanted.length > room;
      if (isMore) break;
    }
    const views = await this.#read(
      found,
      folder === this.#parts.keys.ready ? 'ready' : state,
      options,
    );
    const next = isMore ? found.at(-1)?.slice(folder.length) : undefined;
    // What it is may have changed since it was chosen.
    return { jobs: views.filter((job) => job.state === state), next };
  }

  /** All that is known of a job; `undefined` if nothing is. @throws ArgumentError, UnavailableError */
  async get(id: string, options: CallOptions = {}): Promise<JobView<T> | undefined> {
    const { keys, session } = this.#parts;
    const places = [keys.ready, keys.delayed, keys.dead, keys.done];
    let ready = allOf(keys.ready + nonEmpty('id', id));
    for (;;) {
      const ranges = [ready, ...places.slice(1).map((folder) => allOf(folder + id))];
      const success = [...ranges, { key: keys.aliases + id }].map((range) => ({ range }));
      const { replies } = await session.store.commit({ success }, options);
      const [moved] = replies.at(-1)?.kvs ?? [];
      const views = (['ready', 'delayed', 'dead', 'done'] as const).map((state, i) =>
        viewOf(this.#parts, state, ranges[i]?.key as string, replies[i]?.kvs ?? []),
      );
      const found = views.find((view) => view !== undefined);
      if (found || !moved) return found;
      const place = allOf(keys.ready + moved.value.toString());
      // Nothing was there, though it was said to be: it has ended, or is somewhere else by now.
      if (keyId(place.key) === keyId(ready.key)) return undefined;
      ready = place;
    }
  }

  async #read(
    records: readonly string[],
    state: JobState,
    options: CallOptions,
  ): Promise<JobView<T>[]> {
    const views: JobView<T>[] = [];
    for (const some of inParts(records, jobsAtOnce)) {
      views.push(...(await this.#readSome(some, state, options)));
    }
    return views;
  }

  async #readSome(
    records: readonly string[],
    state: JobState,
    options: CallOptions,
  ): Promise<JobView<T>[]> {
    const success = records.map((record) => ({ range: allOf(record) }));
    try {
      const { replies } = await this.#parts.session.store.commit({ success }, options);
      return replies.flatMap(
        ({ kvs }, i) => viewOf(this.#parts, state, records[i] as string, kvs) ?? [],
      );
    } catch (error) {
      if (!(error instanceof LimitError) || records.length === 1) throw error;
      const half = Math.ceil(records.length / 2);
      const first = await this.#readSome(records.slice(0, half), state, options);
      return [...first, ...(await this.#readSome(records.slice(half), state, options))];
    }
  }

  #folderOf(state: JobState): string {
    const { keys } = this.#parts;
    return keys[state === 'claimed' || state === 'resting' ? 'ready' : state];
  }
}

/** The jobs in a folder page by page, by their keys. @throws as a read of the store */
export async function* sketchesOf(
  store: Store,
  folder: string,
  from: Data,
  options: CallOptions,
): AsyncGenerator<Sketch[]> {
  const end = prefixEnd(folder);
  for (let key = from; ; ) {
    const request = { key, end, keysOnly: true, limit: keysAtOnce };
    const { kvs, count } = await store.read(request, options);
    const sketches = sketchesIn(folder, kvs);
    const [first, last] = [kvs[0], kvs.at(-1)];
    const isMore = first && last && kvs.length < count;
    // What is beside the last one may not have been read; of jobs that have just ended there may be much.
    const unsure = isMore && sketches.at(-1)?.key !== keyId(first.key) ? sketches.pop() : undefined;
    yield sketches;
    if (!isMore) return;
    key = unsure?.key ?? keyAfter(last.key);
  }
}

/** Which jobs of a folder keys belong to; they are in their order. */
export function sketchesIn(folder: string, kvs: readonly KeyValue[]): Sketch[] {
  const sketches: { key: string; state: Sketch['state'] }[] = [];
  for (const kv of kvs) {
    const key = keyId(kv.key);
    const end = key.indexOf('!', folder.length);
    const last = sketches.at(-1);
    if (end < 0) sketches.push({ key, state: 'ready' });
    // Of a job that has just ended, something may be left.
    else if (last && key.startsWith(claimsOf(last.key))) last.state = 'claimed';
    else if (last && key === restOf(last.key)) last.state = 'resting';
  }
  return sketches;
}
