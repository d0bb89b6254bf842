import { againstGo } from './against-go.js';
import type { Benchmark } from './benchmark.js';

/** Many callers of one process take and release locks, each its own: what travelling together is worth. */
export const lockBenchmarks: readonly Benchmark[] = [64, 256].map((callers) =>
  againstGo({
    name: `locks-${callers}`,
    what: `Acquire + release by ${callers} callers, each on its own lock`,
    act: 'locks',
    callers,
    apart: true,
    atLeast: 3,
  }),
);
