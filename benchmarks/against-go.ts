import { randomUUID } from 'node:crypto';
import { alternate, type Bench, type Benchmark, compare, type Outcome } from './benchmark.js';
import { mean, summarize } from './statistics.js';
import type { CallsReport, CallsTask } from './workers/calls.js';

/** What callers do again and again, and how much faster than Go's client it is to be. */
export interface Contest extends Pick<CallsTask, 'act' | 'callers'> {
  readonly name: string;
  readonly what: string;
  /** How many processes have so many callers each. @defaultValue 1 */
  readonly processes?: number;
  /** Whether it is measured as well without transactions travelling together. @defaultValue `false` */
  readonly apart?: boolean;
  /** How many times what Go does. */
  readonly atLeast: number;
}

interface Pace {
  readonly perSecond: number;
}

/** A benchmark of callers against goroutines. */
export function againstGo(contest: Contest): Benchmark {
  const { name, what, atLeast } = contest;
  return {
    name,
    what,
    target: `≥ ${atLeast} × Go`,
    run: (bench) => measure(bench, contest),
  };
}

async function measure({ endpoint, programs, options }: Bench, contest: Contest): Promise<Outcome> {
  const { act, callers, processes = 1, apart = false, atLeast } = contest;
  const { rounds, seconds } = options;
  const { go } = programs;
  const everywhere = <T>(run: (name: string) => Promise<T>): Promise<T[]> => {
    const name = `bench-${randomUUID()}`;
    return Promise.all(Array.from({ length: processes }, () => run(name)));
  };
  const ours = (batching: boolean): Promise<CallsReport[]> =>
    everywhere((name) => {
      const task: CallsTask = { endpoint, act, callers, batching, seconds, name };
      return programs.ours<CallsReport>('calls', task);
    });
  const found = await alternate(
    rounds,
    async () => ({ together: await ours(true), apart: apart ? await ours(false) : undefined }),
    go && (() => everywhere((name) => go<Pace>(act, { endpoint, callers, seconds, name }))),
  );
  const pace = found.ours.map(({ together }) => inAll(together));
  const alone = found.ours.flatMap((round) => (round.apart ? [inAll(round.apart)] : []));
  const control = found.control?.map(inAll);
  const ratio = compare(pace, control);
  const cpu = found.ours.map(({ together }) => mean(together.map((each) => each.cpu)));
  const what = 'each transaction by itself';
  return {
    ours: summarize(pace),
    unit: 'per second',
    control: { name: 'Go', figure: control && summarize(control) },
    ratio,
    reached: ratio && ratio.median >= atLeast,
    asides: [
      ...(apart ? [{ what, figure: summarize(alone), unit: 'per second' } as const] : []),
      { what: 'CPU of our process for one', figure: summarize(cpu), unit: 'µs' },
    ],
    rounds: found,
  };
}

function inAll(processes: readonly Pace[]): number {
  return processes.reduce((sum, { perSecond }) => sum + perSecond, 0);
}
