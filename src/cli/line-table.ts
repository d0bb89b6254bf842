import Table from 'cli-table3';
import type { LineEntry } from '../core/line/line.js';
import type { Presence } from '../core/line/ticket.js';
import type { ElectionEntry } from '../election/roll.js';
import { printable } from './output.js';

/** Somebody who takes part in something, and what is known of them there. */
export type Someone = Presence &
  Partial<Omit<LineEntry, keyof Presence>> &
  Partial<Pick<ElectionEntry, 'id' | 'priority' | 'value'>> & {
    /** What they hold or want, where that is not all: `read`, or a number of permits. */
    readonly as?: string;
  };

/** Somebody, as JSON. What is not known is `null`: other clients need not say who they are. What has no sense is `undefined`. */
export interface Place {
  readonly as: string | undefined;
  readonly id: string | undefined;
  readonly priority: number | undefined;
  readonly value: string | undefined;
  readonly host: string | null;
  readonly pid: number | null;
  readonly label: string | null;
  /** Milliseconds since they came. */
  readonly age: number | null;
  readonly token: string | undefined;
  readonly lease: string | undefined;
  /** As it is in etcd. */
  readonly key: string | undefined;
}

/**
 * Somebody in a namespace. Numbers above 2^53 do not survive most readers of JSON, so the token is text; the lease is in hex, as
 * etcdctl shows and takes it.
 */
export function placeOf(someone: Someone, prefix = ''): Place {
  const { as, id, priority, value, owner, age, token, lease, key } = someone;
  return {
    as,
    id,
    priority,
    value,
    host: owner?.host ?? null,
    pid: owner?.pid ?? null,
    label: owner?.label ?? null,
    age: age ?? null,
    token: token?.toString(),
    lease: lease?.toString(16),
    key: key === undefined ? undefined : `${prefix}${key}`,
  };
}

/** A row of a table: somebody, and which part they have. */
export type Row = Place & { readonly position: string | number };

/** A row for somebody. */
export function rowOf(position: Row['position'], place: Place): Row {
  return { position, ...place };
}

const columns: readonly (keyof Row)[] = [
  'position',
  'as',
  'id',
  'priority',
  'value',
  'host',
  'pid',
  'label',
  'age',
  'token',
  'key',
];

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

/** A table without rules, which `awk` and `sort` can read too, of the columns that have a sense for somebody in it. */
export function tableOf(rows: readonly Row[]): string {
  const shown = columns.filter((column) => rows.some((row) => row[column] !== undefined));
  const bare = ['top', 'bottom', 'left', 'right', 'mid'].flatMap((side) => [
    [side, ''],
    [`${side}-mid`, ''],
    [`${side}-left`, ''],
    [`${side}-right`, ''],
  ]);
  const table = new Table({
    head: shown.map((column) => column.toUpperCase()),
    chars: { ...Object.fromEntries(bare), middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of rows) {
    const cells = { ...row, age: row.age === null ? null : ageOf(row.age) };
    table.push(shown.map((column) => printable(String(cells[column] ?? '')) || '-'));
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
