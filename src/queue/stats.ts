import { keyAfter } from '../core/store/key-span.js';
import { keyId, prefixRange } from '../core/store/keys.js';
import type { CallOptions, KeyValue, OperationReply, RangeRequest } from '../core/store/store.js';
import { tell } from '../core/trace.js';
import { ending, flag, milliseconds } from '../core/validate.js';
import { viewOf } from './job-view.js';
import { sketchesIn } from './listing.js';
import { priorities, restOf } from './queue-keys.js';
import type { QueueParts } from './queue-parts.js';

/** How a queue is. */
export interface QueueStats {
  /** Jobs that are not finished: `ready`, `claimed`, `resting` and `delayed`. */
  readonly depth: number;
  /** Jobs that wait to be taken, those included that wait for others of their `orderKey`. */
  readonly ready: number;
  /** Jobs that are worked on. */
  readonly claimed: number;
  /** Jobs that rest in their place, of which each is the first of its `orderKey`: to be tried again, or until somebody decides. */
  readonly resting: number;
  /** Jobs that are not to begin yet. */
  readonly delayed: number;
  /** Jobs that were given up. */
  readonly dead: number;
  /** Finished jobs whose results are kept. */
  readonly done: number;
  /** Milliseconds since the first of those that wait was put, by the clock of who put it and ours: to look at. */
  readonly oldestAge: number | undefined;
  /** Processes that take jobs. */
  readonly consumers: number;
  /** Whether nobody is to take jobs. */
  readonly isPaused: boolean;
  /**
   * Whether all keys of jobs were looked at. Where not, it is taken for granted that far behind the last job in sight that was
   * ever claimed no other was, as jobs are claimed in their order: `claimed` and `resting` may then be too low, `ready` too high.
   */
  readonly isExact: boolean;
  /** As of which all of this is. */
  readonly revision: bigint;
}

/** How to count. */
export interface StatsOptions extends CallOptions {
  /** Looks at the keys of all jobs, about a second for 100,000 of them. @defaultValue `false`: at those that come first */
  readonly exact?: boolean;
}

/** What became of a queue between two looks, each per second. */
export interface QueueRates {
  /** By how much the number of unfinished jobs grew; less than 0 if it became smaller. */
  readonly depth: number;
  /** The same for dead letters. */
  readonly dead: number;
}

/** How a queue is, and what changed since the last look. */
export interface StatsChange extends QueueStats {
  /** `undefined` at the first look. */
  readonly rates: QueueRates | undefined;
}

/** Keys that are looked at first, of each priority. */
const firstPage = 500;
/** Keys of one more page; and where all are looked at. */
const [nextPage, largePage] = [1_000, 5_000];

/** What is known of one priority. */
interface LaneCount {
  claimed: number;
  resting: number;
  /** Keys that are no records. */
  besides: number;
  /** The first that waits. */
  oldest: KeyValue | undefined;
  isWhole: boolean;
}

/**
 * Counts what there is in a queue. etcd counts ranges without reading what is in them; as the claims of jobs are among their
 * records, the keys of those that come first are read as well: one transaction of 15 ranges, and rarely another page.
 *
 * @throws UnavailableError if no endpoint answers; RefusedError.
 */
export async function readStats<T>(
  parts: QueueParts<T>,
  { exact = false, ...options }: StatsOptions = {},
): Promise<QueueStats> {
  flag('exact', exact);
  const { keys, session, name } = parts;
  const all = [keys.ready, keys.delayed, keys.dead, keys.done].map(sizeOf);
  const state: RangeRequest = { key: keys.state, end: keys.ready, keysOnly: true };
  const fronts = Array.from({ length: priorities }, (_, i) => frontOf(keys.lane(i)));
  const success = [...all, state, ...fronts].map((range) => ({ range }));
  const { replies, revision } = await session.store.commit({ success }, options);
  const [ready, delayed, dead, done] = replies.slice(0, 4).map(({ count }) => count) as Counts;
  const lanes = await Promise.all(
    fronts.map((range, i) => countLane(parts, range, replies[i + 5], { revision, exact }, options)),
  );
  const sumOf = (what: 'claimed' | 'resting' | 'besides'): number =>
    lanes.reduce((sum, lane) => sum + lane[what], 0);
  const [claimed, resting] = [sumOf('claimed'), sumOf('resting')];
  const unfinished = ready - sumOf('besides');
  const states = (replies[4]?.kvs ?? []).map(({ key }) => keyId(key));
  const stats: QueueStats = {
    depth: unfinished + delayed,
    ready: unfinished - claimed - resting,
    claimed,
    resting,
    delayed,
    dead,
    done,
    oldestAge: await ageOf(parts, lanes, options),
    consumers: states.filter((key) => key.startsWith(keys.consumers)).length,
    isPaused: states.includes(keys.paused),
    isExact: lanes.every(({ isWhole }) => isWhole),
    revision,
  };
  tell('queue', () => ({ name, ready: stats.ready, claimed, resting, delayed, dead, done }));
  return stats;
}

/** The stats every so many milliseconds; until the loop is left, or the signal aborts. @throws as `readStats` */
export async function* watchStats<T>(
  parts: QueueParts<T>,
  { every = 5_000, signal, ...options }: StatsOptions & { readonly every?: number } = {},
): AsyncGenerator<StatsChange, void> {
  milliseconds('every', every, 1);
  ending(signal);
  const { clock } = parts.session;
  const limits = signal ? { ...options, signal } : options;
  let before: { readonly stats: QueueStats; readonly at: number } | undefined;
  for (;;) {
    const stats = await readStats(parts, limits);
    const at = clock.now();
    yield { ...stats, rates: before && ratesOf(before.stats, stats, at - before.at) };
    before = { stats, at };
    await clock.sleep(every, signal);
  }
}

type Counts = [ready: number, delayed: number, dead: number, done: number];

function sizeOf(folder: string): RangeRequest {
  return { ...prefixRange(folder), countOnly: true };
}

function frontOf(lane: string): RangeRequest {
  return { ...prefixRange(lane), keysOnly: true, limit: firstPage };
}

async function countLane<T>(
  { keys, session }: QueueParts<T>,
  range: RangeRequest,
  first: OperationReply | undefined,
  { revision, exact }: { readonly revision: bigint; readonly exact: boolean },
  options: CallOptions,
): Promise<LaneCount> {
  const lane: LaneCount = { claimed: 0, resting: 0, besides: 0, oldest: undefined, isWhole: false };
  let { kvs, count } = first ?? { kvs: [], count: 0 };
  for (;;) {
    const before = lane.besides;
    look(keys.ready, lane, kvs);
    const last = kvs.at(-1);
    lane.isWhole = !last || kvs.length === count;
    if (!last || lane.isWhole || (!exact && lane.besides === before)) return lane;
    const next = {
      ...range,
      key: keyAfter(last.key),
      limit: exact ? largePage : nextPage,
      revision,
    };
    ({ kvs, count } = await session.store.read(next, options));
  }
}

/** Takes up what a page has. */
function look(folder: string, lane: LaneCount, kvs: readonly KeyValue[]): void {
  for (const kv of kvs) {
    const key = keyId(kv.key);
    const end = key.indexOf('!', folder.length);
    if (end >= 0) lane.besides += 1;
    if (end >= 0 && key.startsWith('!c/', end)) lane.claimed += 1;
    if (end >= 0 && key === restOf(key.slice(0, end))) lane.resting += 1;
  }
  if (lane.oldest) return;
  const first = sketchesIn(folder, kvs).find(({ state }) => state === 'ready');
  lane.oldest = kvs.find(({ key }) => keyId(key) === first?.key);
}

/** Of the first that waits. */
async function ageOf<T>(
  parts: QueueParts<T>,
  lanes: readonly LaneCount[],
  options: CallOptions,
): Promise<number | undefined> {
  const found = lanes.flatMap(({ oldest }) => oldest ?? []);
  const [first] = found.toSorted((a, b) => Number(a.createRevision - b.createRevision));
  if (!first) return undefined;
  const { session } = parts;
  const { kvs } = await session.store.read({ key: first.key }, options);
  const putAt = viewOf(parts, 'ready', keyId(first.key), kvs)?.putAt;
  return putAt && Math.max(0, session.clock.wall() - putAt.getTime());
}

function ratesOf(before: QueueStats, after: QueueStats, ms: number): QueueRates {
  const rate = (key: 'depth' | 'dead'): number => ((after[key] - before[key]) * 1_000) / ms;
  return { depth: rate('depth'), dead: rate('dead') };
}
