import type { Bench, Benchmark, Outcome } from './benchmark.js';
import { summarize } from './statistics.js';
import type { RpcsReport, RpcsTask } from './workers/rpcs.js';

const pairs = 1_000;
const expected = 2;

/** What etcd has to do for one acquisition and release, by etcd's own count. */
export const mutexRpcs: Benchmark = {
  name: 'rpcs',
  what: 'Requests for acquire + release alone',
  target: `${expected}, and ${expected} raft entries`,
  run: measure,
};

async function measure({ endpoint, programs, options }: Bench): Promise<Outcome> {
  const task: RpcsTask = { endpoint, pairs: Math.ceil(pairs * options.scale) };
  const found: RpcsReport[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    found.push(await programs.ours<RpcsReport>('rpcs', task));
  }
  const perPair = (pick: (report: RpcsReport) => number): number[] =>
    found.map((report) => pick(report) / task.pairs);
  const requests = perPair((report) => report.requests);
  const entries = perPair((report) => report.raftEntries);
  const leases = perPair((report) => report.leaseMessages);
  return {
    ours: summarize(requests),
    unit: 'number',
    control: { name: 'etcd’s metrics', figure: undefined },
    ratio: undefined,
    reached: [...requests, ...entries].every((count) => count === expected),
    asides: [
      { what: 'raft entries', figure: summarize(entries), unit: 'number' },
      { what: 'messages that keep the lease alive', figure: summarize(leases), unit: 'number' },
    ],
    rounds: found,
  };
}
