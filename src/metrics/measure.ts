import { status as Status } from '@grpc/grpc-js';
import { systemClock } from '../core/clock.js';
import { isCoordinationError, type LossReason } from '../core/errors.js';
import { statusOf } from '../core/etcd3-status.js';
import { type Notes, onTold, onTraced } from '../core/trace.js';
import type { MetricName } from './metrics.js';

/** Takes one measurement: what is added to a counter, or seen by a histogram. */
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
const sessionLosses: readonly LossReason[] = ['no-contact', 'expired', 'revoked'];

/** Has `record` called with all that happens in this process. The function returned ends that. */
export function measure(record: Recorder, names: boolean): () => void {
  const stops = [...measureCalls(record), ...measureRecipes(record, names)];
  return () => {
    for (const stop of stops) stop();
  };
}

function measureCalls(record: Recorder): (() => void)[] {
  /** How often each endpoint is set aside; what was before we listened is not known. */
  const aside = new Map<string, number>();
  return [
    onTraced('rpc', ({ method, endpoint }) => {
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
      const times = aside.get(endpoint) ?? 0;
      const change = state === 'aside' ? 1 : -1;
      if (times + change < 0) return;
      aside.set(endpoint, times + change);
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

function stopwatch(): () => number {
  const began = systemClock.now();
  return () => (systemClock.now() - began) / 1_000;
}

const codeOf = (error: unknown): string => Status[statusOf(error).code];

/** What is not ours is the reason of the caller's own signal. */
const failureOf = (error: unknown): string => (isCoordinationError(error) ? error.code : 'aborted');
