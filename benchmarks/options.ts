import { parseArgs } from 'node:util';

/** What was asked for on the command line. */
export interface BenchOptions {
  /** How often each measurement is made; the median counts. */
  readonly rounds: number;
  /** Length of one measured window, for what is measured by time. */
  readonly seconds: number;
  /** Multiplies how much is measured by count. */
  readonly scale: number;
  /** Beginnings of the names of what to measure; empty means everything. */
  readonly only: readonly string[];
  /** A check of the benchmarks themselves: its figures are not kept. */
  readonly quick: boolean;
}

/** How to call it. */
export const usage = `npm run bench -- [options]
  --rounds N     measure everything so often (5)
  --seconds S    length of one window (5)
  --only NAME    only what is called so, or else begins so; may be given several times
  --quick        see that it works: 2 short rounds, no figures are kept`;

/** Reads the command line. @throws Error that tells what is wrong with it. */
export function readOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      quick: { type: 'boolean', default: false },
    },
  });
  const { quick, only } = values;
  const rounds = positive('rounds', values.rounds ?? (quick ? '2' : '5'));
  if (!Number.isInteger(rounds)) throw new Error(`--rounds must be whole, not ${rounds}`);
  const seconds = positive('seconds', values.seconds ?? (quick ? '1' : '5'));
  return { rounds, seconds, scale: quick ? 0.1 : 1, only, quick };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new Error(`--${name} must be a positive number, not "${text}"`);
}
