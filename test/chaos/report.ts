import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Table from 'cli-table3';
import { percentile } from './checkers/measures.js';
import type { Verdict } from './judge.js';

/** What a run was. */
export interface Run {
  readonly command: string;
  readonly etcd: string;
  readonly network: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** A table without rules. */
const BARE = {
  chars: Object.fromEntries(
    ['top', 'bottom', 'left', 'right', 'mid', 'middle'].flatMap((side) => [
      [side, side === 'middle' ? '  ' : ''],
      [`${side}-mid`, ''],
      [`${side}-left`, ''],
      [`${side}-right`, ''],
    ]),
  ),
  style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
};

const figure = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(1);

/** The report for people. */
function text(run: Run, verdict: Verdict): string {
  const { measures, counts, violations, found, missing, outcome } = verdict;
  const times = new Table({ ...BARE, head: ['milliseconds', 'n', 'p50', 'p90', 'p99', 'max'] });
  for (const [what, values] of [...measures.times].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const cells = [50, 90, 99, 100].map((percent) => figure(percentile(values, percent)));
    times.push([what, values.length, ...cells]);
  }
  const happened = new Table({ ...BARE, head: ['', 'what', 'times'] });
  const all = { faults: measures.faults, ...counts };
  for (const [checker, whats] of Object.entries(all)) {
    for (const [what, n] of Object.entries(whats).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      happened.push([checker, what, n.toLocaleString('en-US')]);
    }
  }
  const rate = (measures.counts['operations ok'] ?? 0) / measures.seconds;
  return [
    happened.toString(),
    times.toString(),
    `etcd ${run.etcd}, ${run.network}, ${measures.seconds.toFixed(0)} s, ${rate.toFixed(0)} operations a second, judged in ${(verdict.took / 1_000).toFixed(1)} s`,
    ...violations.map(({ checker, what, history }) =>
      [`✘ ${checker}: ${what}`, ...history.map((entry) => `    ${JSON.stringify(entry)}`)].join(
        '\n',
      ),
    ),
    ...Object.entries(found).map(([checker, n]) => `${checker}: ${n} violations`),
    ...missing.map((what) => `too seldom: ${what}`),
    `${outcome} - ${run.command}`,
    '',
  ].join('\n');
}

/** Writes the report in both forms, and gives that for people. */
export async function report(directory: string, run: Run, verdict: Verdict): Promise<string> {
  const { measures, ...rest } = verdict;
  const times = Object.fromEntries(
    [...measures.times].map(([what, values]) => {
      const [p50, p90, p99, max] = [50, 90, 99, 100].map((percent) => percentile(values, percent));
      return [what, { n: values.length, p50, p90, p99, max }];
    }),
  );
  const { seconds, faults } = measures;
  const json = { ...run, ...rest, seconds, faults, milliseconds: times };
  await writeFile(join(directory, 'report.json'), `${JSON.stringify(json, null, 2)}\n`);
  const readable = text(run, verdict);
  await writeFile(join(directory, 'report.txt'), readable);
  return readable;
}
