/** What workers can be had to do. */
export const WORKLOADS = [
  'registers',
  'counters',
  'sessions',
  'visits',
  'watches',
  'terms',
  'sums',
  'numbers',
  'jobs',
  'mirrors',
  'shards',
] as const;

export type Workload = (typeof WORKLOADS)[number];
