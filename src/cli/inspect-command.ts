import { nonEmpty } from '../core/validate.js';
import { atPlace } from './at-place.js';
import { EXIT } from './exit-codes.js';
import { type KindFlags, look, type Shown } from './kinds.js';
import { placeOf, type Row, rowOf, type Someone, tableOf } from './line-table.js';
import { linesOf, print } from './output.js';

/** What the command line says about what to show. */
export interface InspectFlags extends KindFlags {
  readonly json?: boolean;
}

/** Those who have it. Others are told their number in line. */
const parts: Readonly<Record<string, string>> = {
  holder: 'holder',
  holders: 'holder',
  leader: 'leader',
  runner: 'runner',
  owners: 'owner',
  by: 'by',
  inside: 'inside',
};

/** `inspect`: shows the state of a recipe, and who takes part. Resolves to the exit status. */
export async function inspect(name: string, flags: InspectFlags): Promise<number> {
  nonEmpty('NAME', name);
  const shown = await atPlace(flags, (place, signal) => look(place, name, flags, { signal }));
  await print((flags.json ? jsonOf : textOf)(name, shown, flags.namespace));
  return EXIT.done;
}

function textOf(name: string, { facts = {}, people = {}, verb }: Shown, prefix?: string): string {
  const rows = Object.entries(people).flatMap(([part, some]): Row[] =>
    listOf(some).map((each, i) => rowOf(parts[part] ?? i + 1, placeOf(each, prefix))),
  );
  const words = Object.entries(facts).map(([fact, value]) => [fact, wordsOf(value)] as const);
  const line = rows.length > 0 ? tableOf(rows) : verb && `nobody ${verb} ${name}`;
  return [linesOf(Object.fromEntries(words)), line].filter(Boolean).join('\n');
}

function jsonOf(name: string, { facts, people = {} }: Shown, prefix?: string): string {
  const parties = Object.entries(people).map(([part, some]) => {
    const places = listOf(some).map((each) => placeOf(each, prefix));
    return [part, Array.isArray(some) ? places : (places[0] ?? null)];
  });
  return JSON.stringify({ name, ...facts, ...Object.fromEntries(parties) }, undefined, 2);
}

function listOf(some: Someone | readonly Someone[] | undefined): readonly Someone[] {
  return some === undefined ? [] : [some].flat();
}

function wordsOf(value: unknown): string {
  if (value === null) return '-';
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) {
    return value.join(', ') || '-';
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}
