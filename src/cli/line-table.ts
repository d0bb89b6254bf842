import Table from 'cli-table3';
import { printable } from './output.js';

/** Somebody in the line. What is not known is `null`: other clients need not say who they are. */
export interface Place {
  readonly host: string | null;
  readonly pid: number | null;
  readonly label: string | null;
  /** Milliseconds in the line. */
  readonly age: number | null;
  readonly token: string;
  readonly lease: string;
  /** As it is in etcd. */
  readonly key: string;
}

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

/** The line as a table without rules, which `awk` and `sort` can read too: the holder first, then who waits. */
export function tableOf(line: readonly Place[]): string {
  const bare = ['top', 'bottom', 'left', 'right', 'mid'].flatMap((side) => [
    [side, ''],
    [`${side}-mid`, ''],
    [`${side}-left`, ''],
    [`${side}-right`, ''],
  ]);
  const table = new Table({
    head: ['POSITION', 'HOST', 'PID', 'LABEL', 'AGE', 'TOKEN', 'KEY'],
    chars: { ...Object.fromEntries(bare), middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const [i, { host, pid, label, age, token, key }] of line.entries()) {
    const cells = [host, pid, label, age === null ? null : ageOf(age), token, key];
    const texts = cells.map((cell) => printable(String(cell ?? '')) || '-');
    table.push([i === 0 ? 'holder' : i, ...texts]);
  }
  return table.toString().replaceAll(/ +$/gm, '');
}

/** Milliseconds in the two largest units that are not nothing: `2d3h`, `5m10s`, `0s`. */
function ageOf(age: number): string {
  const first = units.findIndex(([, size]) => age >= size);
  if (first === -1) return '0s';
  let rest = age;
  return units
    .map(([unit, size], i) => {
      const count = Math.floor(rest / size);
      rest %= size;
      return count > 0 && i <= first + 1 ? `${count}${unit}` : '';
    })
    .join('');
}
