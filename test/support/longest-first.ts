import { statSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What takes longest, though its files are short: not to be begun when all else has ended. */
const long = [
  'lock/holds',
  'recipes/long-lines',
  'election/election-hold',
  'namespace/isolation',
  'recipes/shared-holds',
  'lock/exclusion',
  'core/commit/batching-suite',
  'testing/store-suite',
  'core/watch/watching',
  'core/etcd3/cluster.processes',
  'lock/random-locks',
  'faults/faults.processes',
  'core/etcd3/failover',
];

/** One project after the other, so that a worker goes on with what it has loaded; of each what takes longest first, then by size. */
export class LongestFirst extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const projects = [...new Set(files.map(({ project }) => project))];
    const known = files.map((file) => {
      const rank = long.findIndex((name) => file.moduleId.endsWith(`/test/${name}.test.ts`));
      const place = rank < 0 ? long.length : rank;
      return { file, project: projects.indexOf(file.project), place, size: sizeOf(file) };
    });
    const sorted = known.toSorted(
      (a, b) => a.project - b.project || a.place - b.place || b.size - a.size,
    );
    return Promise.resolve(sorted.map(({ file }) => file));
  }
}

function sizeOf({ moduleId }: TestSpecification): number {
  return statSync(moduleId).size;
}
