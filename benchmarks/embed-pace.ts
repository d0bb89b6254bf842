import type { Bench, Outcome } from './benchmark.js';
import { ratios, summarize } from './statistics.js';
import type { EmbedPaceReport, EmbedPaceTask } from './workers/embed-pace.js';

/** What is compared: the first of the contenders is ours, the second the control. */
export interface PaceSpec extends Pick<EmbedPaceTask, 'contenders' | 'operation' | 'callers'> {
  readonly control: string;
  readonly atLeast: number;
}

/** Contenders take turns within one process, so each of them needs less time than what has a process of its own. */
const share = 0.25;

/** How often something is done in a second, against the same done otherwise. */
export async function comparePace({ programs, options }: Bench, spec: PaceSpec): Promise<Outcome> {
  const { control, atLeast, ...what } = spec;
  const task: EmbedPaceTask = { ...what, seconds: options.seconds * share };
  const rounds: EmbedPaceReport[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    // Who is first changes, so that neither always meets the busier machine.
    const contenders = round % 2 === 0 ? task.contenders : task.contenders.toReversed();
    const report = await programs.ours<EmbedPaceReport>('embedPace', { ...task, contenders });
    rounds.push(round % 2 === 0 ? report : report.toReversed());
  }
  const [ours, other] = [0, 1].map((index) => rounds.map((report) => report[index] as number));
  if (!ours || !other) throw new Error('nothing was measured');
  const ratio = summarize(ratios(ours, other));
  return {
    ours: summarize(ours),
    unit: 'per second',
    control: { name: control, figure: summarize(other) },
    ratio,
    reached: ratio.median >= atLeast,
    asides: [],
    rounds,
  };
}
