/** What is measured, whoever keeps the figures. */
export interface Metric {
  /** `up-down` is a count that can fall; a `gauge` is what was found when last somebody looked. */
  readonly kind: 'counter' | 'up-down' | 'gauge' | 'histogram';
  readonly help: string;
  /** `s` for seconds; `{batch}` and the like for a number of these. */
  readonly unit: string;
  readonly labels: readonly string[];
  /** Whether it can be told apart by the name of the lock, too. */
  readonly named?: boolean;
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[];
}

/** Names a metric that has buckets. */
export type HistogramName =
  | 'rpc.duration'
  | 'batch.size'
  | 'lease.renewal.margin'
  | 'wait.duration'
  | 'hold.duration'
  | 'job.wait.duration'
  | 'job.duration';

/** Names a metric. */
export type MetricName =
  | HistogramName
  | 'rpc.retries'
  | 'endpoint.ejections'
  | 'endpoint.aside'
  | 'stream.restarts'
  | 'watch.gaps'
  | 'session.events'
  | 'session.losses'
  | 'hold.losses'
  | 'queue.jobs'
  | 'job.events'
  | 'job.claims'
  | 'view.keys'
  | 'view.stale'
  | 'view.changes'
  | 'recipe.events'
  | 'partitioner.shards';

const waits = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** All that is measured. Each label has few values, whatever is locked and how often. */
export const metrics: Readonly<Record<MetricName, Metric>> = {
  'rpc.duration': {
    kind: 'histogram',
    help: 'Time of one attempt of a call at one endpoint',
    unit: 's',
    labels: ['method', 'code', 'endpoint'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
  },
  'rpc.retries': {
    kind: 'counter',
    help: 'Attempts that failed in a way that let the call go on with another',
    unit: '{attempt}',
    labels: ['code', 'endpoint'],
  },
  'endpoint.ejections': {
    kind: 'counter',
    help: 'Times that an endpoint was set aside because it failed',
    unit: '{ejection}',
    labels: ['endpoint'],
  },
  'endpoint.aside': {
    kind: 'up-down',
    help: 'Stores by which an endpoint is set aside now',
    unit: '{store}',
    labels: ['endpoint'],
  },
  'batch.size': {
    kind: 'histogram',
    help: 'Commits that travelled together',
    unit: '{commit}',
    labels: [],
    buckets: [1, 2, 4, 8, 16, 32, 64, 128],
  },
  'stream.restarts': {
    kind: 'counter',
    help: 'Times that a stream broke, could not be opened, or was left for another endpoint',
    unit: '{restart}',
    labels: ['stream', 'code', 'endpoint'],
  },
  'watch.gaps': {
    kind: 'counter',
    help: 'Times that changes were compacted before a watch had seen them',
    unit: '{gap}',
    labels: [],
  },
  'lease.renewal.margin': {
    kind: 'histogram',
    help: 'Time that was left, when a lease was renewed, until what hangs on it would have been given up',
    unit: 's',
    labels: [],
    buckets: [0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 30, 60],
  },
  'session.events': {
    kind: 'counter',
    help: 'What became of sessions',
    unit: '{event}',
    labels: ['event'],
  },
  'session.losses': {
    kind: 'counter',
    help: 'Sessions lost, with all that was held',
    unit: '{session}',
    labels: ['reason'],
  },
  'wait.duration': {
    kind: 'histogram',
    help: 'Time that a recipe waited for its turn',
    unit: 's',
    labels: ['recipe', 'verb', 'outcome'],
    named: true,
    buckets: waits,
  },
  'hold.duration': {
    kind: 'histogram',
    help: 'Time from the grant of a hold to its release or loss',
    unit: 's',
    labels: ['recipe'],
    named: true,
    buckets: waits,
  },
  'hold.losses': {
    kind: 'counter',
    help: 'Holds lost',
    unit: '{hold}',
    labels: ['recipe', 'reason'],
    named: true,
  },
  'queue.jobs': {
    kind: 'gauge',
    help: 'Jobs of a queue, when somebody in this process last asked for its stats',
    unit: '{job}',
    labels: ['queue', 'state'],
  },
  'job.events': {
    kind: 'counter',
    help: 'What this process has done with jobs',
    unit: '{job}',
    labels: ['event'],
    named: true,
  },
  'job.claims': {
    kind: 'counter',
    help: 'Claims of jobs, won or lost to another process',
    unit: '{claim}',
    labels: ['outcome'],
    named: true,
  },
  'view.keys': {
    kind: 'up-down',
    help: 'Keys in live copies: instances of a service, members of a group, entries of a mirror',
    unit: '{key}',
    labels: ['view'],
  },
  'view.stale': {
    kind: 'up-down',
    help: 'Live copies that may be behind',
    unit: '{view}',
    labels: ['view'],
  },
  'view.changes': {
    kind: 'counter',
    help: 'Changes that live copies have seen, after their first state',
    unit: '{change}',
    labels: ['view', 'type'],
  },
  'recipe.events': {
    kind: 'counter',
    help: 'What became of registrations, members and shards, and what balancers did',
    unit: '{event}',
    labels: ['recipe', 'event'],
    named: true,
  },
  'partitioner.shards': {
    kind: 'up-down',
    help: 'Shards that this process owns now',
    unit: '{shard}',
    labels: ['partitioner'],
  },
  'job.wait.duration': {
    kind: 'histogram',
    help: 'Time from when a job was put until it was taken, by the wall clocks of both',
    unit: 's',
    labels: [],
    named: true,
    buckets: waits,
  },
  'job.duration': {
    kind: 'histogram',
    help: 'Time from when a job was taken until it was done with',
    unit: 's',
    labels: ['event'],
    named: true,
    buckets: waits,
  },
};

/** The labels of a metric, with names of locks or without. */
export function labelsOf({ labels, named }: Metric, names: boolean): string[] {
  return [...labels, ...(named && names ? ['name'] : [])];
}
