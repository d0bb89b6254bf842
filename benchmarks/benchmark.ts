import type { BenchOptions } from './options.js';
import type { Programs } from './programs.js';
import { ratios, type Summary, summarize } from './statistics.js';

/** What a benchmark is given. */
export interface Bench {
  /** Of a real etcd that serves this benchmark alone; empty if it is to run without one. */
  readonly endpoint: string;
  /** The program of that etcd. */
  readonly binary: string;
  readonly programs: Programs;
  readonly options: BenchOptions;
}

/** Something measured that has no target: beside what has one. */
export interface Aside {
  readonly what: string;
  readonly figure: Summary;
  readonly unit: Unit;
}

/** What figures count. */
export type Unit = 'per second' | 'ms' | 'µs' | 'bytes' | 'MB' | 'times' | 'number';

/** What a benchmark found. */
export interface Outcome {
  readonly ours: Summary;
  readonly unit: Unit;
  /** What it is measured against, and what that gave; `undefined` where that could not be measured. */
  readonly control: { readonly name: string; readonly figure: Summary | undefined };
  /** Ours over the control, as the target has it: taken in each round, then summed up. */
  readonly ratio: Summary | undefined;
  /** Whether the target was reached; `undefined` without a target or a control. */
  readonly reached: boolean | undefined;
  readonly asides: readonly Aside[];
  /** Everything, round by round, as the programs reported it. */
  readonly rounds: unknown;
}

/** One row of the table. */
export interface Benchmark {
  /** Of its file, and for `--only`. */
  readonly name: string;
  readonly what: string;
  /** As text; `undefined` for what is shown for comparison only. */
  readonly target: string | undefined;
  /** That no real etcd is needed, which would only be in the way. */
  readonly alone?: boolean;
  run(bench: Bench): Promise<Outcome>;
}

/** What is shown in one table. */
export interface Suite {
  /** Of its place on the page about performance. */
  readonly name: string;
  readonly benchmarks: readonly Benchmark[];
  /** Where results are kept: in a file for each row, or in one for all, called like the suite. */
  readonly files: 'each' | 'one';
}

/** What both sides gave, round by round; no control where it cannot be run. */
export interface Rounds<Ours, Control> {
  readonly ours: readonly Ours[];
  readonly control: readonly Control[] | undefined;
}

/** Measures both sides in every round; who is first changes, so that neither always meets the older etcd. */
export async function alternate<Ours, Control>(
  count: number,
  measureOurs: () => Promise<Ours>,
  measureControl: (() => Promise<Control>) | undefined,
): Promise<Rounds<Ours, Control>> {
  const ours: Ours[] = [];
  const control: Control[] = [];
  for (let round = 0; round < count; round += 1) {
    if (round % 2 === 1) ours.push(await measureOurs());
    if (measureControl) control.push(await measureControl());
    if (round % 2 === 0) ours.push(await measureOurs());
  }
  return { ours, control: measureControl && control };
}

/** Ours over the control in each round, summed up. */
export function compare(
  ours: readonly number[],
  control: readonly number[] | undefined,
): Summary | undefined {
  return control && summarize(ratios(ours, control));
}

/** Of several rows that show one measurement, the first to be run makes it. */
export function once<T>(measure: (bench: Bench) => Promise<T>): (bench: Bench) => Promise<T> {
  let made: Promise<T> | undefined;
  return (bench) => {
    made ??= measure(bench);
    return made;
  };
}
