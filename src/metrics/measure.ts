import { status as Status } from '@grpc/grpc-js';
import { statusOf } from '../core/etcd3/status.js';
import { isCoordinationError, type LossReason } from '../core/store/errors.js';
import { systemClock } from '../core/time/clock.js';
import { type Notes, onTold, onTraced } from '../core/trace.js';
import type { MetricName } from './metrics.js';

/** Takes one measurement: what is added to a counter, seen by a histogram, or what a gauge shows. */
export type Recorder = (
  metric: MetricName,
  value: number,
  labels: Readonly<Record<string, string>>,
) => void;

const sessionEvents: readonly Notes['session']['event'][] = [
  'opened',
  'suspended',
  'resumed',
  'stalled',
  'lost',
  'reopened',
  'closed',
];
const sessionLosses: readonly LossReason[] = ['no-contact', 'expired', 'revoked', 'refused'];

/** Has `record` called with all that happens in this process. The function returned ends that. */
export function measure(record: Recorder, names: boolean): () => void {
  const stops = [...measureCalls(record), ...measureRecipes(record, names)];
  return () => {
    for (const stop of stops) stop();
  };
}

function measureCalls(record: Recorder): (() => void)[] {
  const isCounted = upAndDown();
  return [
    onTraced('rpc', ({ method: called, endpoint, probe }) => {
      const method = probe ? 'probe' : called;
      const seconds = stopwatch();
      return (outcome) => {
        const code = 'error' in outcome ? codeOf(outcome.error) : 'OK';
        record('rpc.duration', seconds(), { method, code, endpoint });
      };
    }),
    onTold('retry', ({ endpoint, error }) => {
      record('rpc.retries', 1, { code: codeOf(error), endpoint });
    }),
    onTold('endpoint', ({ endpoint, state }) => {
      const change = state === 'aside' ? 1 : -1;
      if (!isCounted(endpoint, change)) return;
      record('endpoint.aside', change, { endpoint });
      if (state === 'aside') record('endpoint.ejections', 1, { endpoint });
    }),
    onTold('batch', ({ size }) => record('batch.size', size, {})),
    onTold('restart', ({ stream, endpoint, error }) => {
      record('stream.restarts', 1, { stream, code: codeOf(error), endpoint });
    }),
    onTold('gap', () => record('watch.gaps', 1, {})),
  ];
}

function measureRecipes(record: Recorder, names: boolean): (() => void)[] {
  // An alert on an increase would miss the first one where a count begins with it.
  for (const event of sessionEvents) record('session.events', 0, { event });
  for (const reason of sessionLosses) record('session.losses', 0, { reason });
  const named = (name: string): { name?: string } => (names ? { name } : {});
  return [
    ...measureQueues(record, named),
    ...measureViews(record),
    ...measureEvents(record, named),
    onTold('renewal', ({ left }) => record('lease.renewal.margin', left / 1_000, {})),
    onTold('session', ({ event, reason }) => {
      record('session.events', 1, { event });
      if (reason) record('session.losses', 1, { reason });
    }),
    onTraced('wait', ({ recipe, verb, name }) => {
      const seconds = stopwatch();
      return (ended) => {
        const outcome = 'error' in ended ? failureOf(ended.error) : 'ok';
        record('wait.duration', seconds(), { recipe, verb, outcome, ...named(name) });
      };
    }),
    onTold('hold', ({ recipe, name, held, lost }) => {
      record('hold.duration', held / 1_000, { recipe, ...named(name) });
      if (lost) record('hold.losses', 1, { recipe, reason: lost, ...named(name) });
    }),
  ];
}

function measureQueues(
  record: Recorder,
  named: (name: string) => { name?: string },
): (() => void)[] {
  return [
    onTold('queue', ({ name: queue, ...jobs }) => {
      for (const [state, count] of Object.entries(jobs))
        record('queue.jobs', count, { queue, state });
    }),
    onTold('job', ({ name, event, waited, worked }) => {
      record('job.events', 1, { event, ...named(name) });
      if (waited !== undefined) record('job.wait.duration', waited / 1_000, named(name));
      if (worked !== undefined) record('job.duration', worked / 1_000, { event, ...named(name) });
    }),
    onTold('claim', ({ name, won }) => {
      record('job.claims', 1, { outcome: won ? 'won' : 'lost', ...named(name) });
    }),
  ];
}

function measureViews(record: Recorder): (() => void)[] {
  const known = new WeakMap<object, Pick<Notes['view'], 'keys' | 'isStale'>>();
  return [
    onTold('view', ({ view, copy, keys, isStale, changes }) => {
      const before = known.get(copy) ?? { keys: 0, isStale: false };
      known.set(copy, { keys, isStale });
      record('view.keys', keys - before.keys, { view });
      record('view.stale', Number(isStale) - Number(before.isStale), { view });
      for (const { type } of changes) record('view.changes', 1, { view, type });
    }),
  ];
}

/** What these events make of the number of shards that are ours. */
const shardEvents: Readonly<Record<string, number>> = { acquired: 1, released: -1, lost: -1 };

function measureEvents(
  record: Recorder,
  named: (name: string) => { name?: string },
): (() => void)[] {
  const isCounted = upAndDown();
  return [
    onTold('event', ({ recipe, name, event }) => {
      record('recipe.events', 1, { recipe, event, ...named(name) });
      const change = recipe === 'partitioner' ? shardEvents[event] : undefined;
      if (change !== undefined && isCounted(name, change)) {
        record('partitioner.shards', change, { partitioner: name });
      }
    }),
  ];
}

/** Counts up and down, and gives whether that counts: what was before we listened is not known. */
function upAndDown(): (what: string, change: number) => boolean {
  const counts = new Map<string, number>();
  return (what, change) => {
    const count = (counts.get(what) ?? 0) + change;
    if (count >= 0) counts.set(what, count);
    return count >= 0;
  };
}

function stopwatch(): () => number {
  const began = systemClock.now();
  return () => (systemClock.now() - began) / 1_000;
}

const codeOf = (error: unknown): string => Status[statusOf(error).code];

/** What is not ours is the reason of the caller's own signal. */
const failureOf = (error: unknown): string => (isCoordinationError(error) ? error.code : 'aborted');
