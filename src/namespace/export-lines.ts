import { isUtf8 } from 'node:buffer';
import { ArgumentError } from '../core/store/errors.js';

/** Bytes in JSON: text where they are UTF-8. */
type JsonBytes = string | { readonly base64: string };

/** A key and its value, as an export has them. */
export interface Pair {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** The first line of an export. */
interface Head {
  readonly format: string;
  readonly revision: string;
}

/** The last line: that the export is whole. */
interface Tail {
  readonly end: true;
  readonly keys: number;
  /** How many were left out, because they hang on a lease. */
  readonly leased: number;
}

const format = 'etcd-recipes/namespace/1';

/** The first line of an export of what there was at a revision. */
export function headLine(revision: bigint): string {
  return lineOf({ format, revision: String(revision) } satisfies Head);
}

/** The line of a key. */
export function pairLine({ key, value }: Pair): string {
  return lineOf({ key: toJson(key), value: toJson(value) });
}

/** The last line of an export of so many keys, for which so many were left out. */
export function tailLine(keys: number, leased: number): string {
  return lineOf({ end: true, keys, leased } satisfies Tail);
}

/**
 * The keys in the lines of an export, as they come.
 *
 * @throws ArgumentError that tells which line is none of an export, or that lines are missing; after the pairs before.
 */
export async function* pairsIn(
  lines: AsyncIterable<string> | Iterable<string>,
): AsyncGenerator<Pair, void, void> {
  let [number, keys, ended] = [0, 0, false];
  for await (const line of lines) {
    number += 1;
    const found = ended ? {} : fieldsOf(line);
    const pair = { key: fromJson(found['key']), value: fromJson(found['value']) };
    if (number === 1 ? found['format'] === format : pair.key?.length && pair.value) {
      if (number === 1) continue;
      keys += 1;
      yield pair as Pair;
    } else if (number > 1 && found['end'] === true && found['keys'] === keys) {
      ended = true;
    } else {
      throw new ArgumentError(`line ${number}`, 'one of an export, in its place', line);
    }
  }
  if (!ended) throw new ArgumentError('lines', 'a whole export', `${number} without the last`);
}

/** Without what some readers take for the end of a line, though JSON does not. */
function lineOf(fields: object): string {
  return JSON.stringify(fields).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
}

function toJson(bytes: Buffer): JsonBytes {
  return isUtf8(bytes) ? bytes.toString() : { base64: bytes.toString('base64') };
}

function fromJson(found: unknown): Buffer | undefined {
  if (typeof found === 'string') return Buffer.from(found);
  const { base64 } = Object(found) as { readonly base64?: unknown };
  return typeof base64 === 'string' ? Buffer.from(base64, 'base64') : undefined;
}

function fieldsOf(line: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(line)) as Record<string, unknown>;
  } catch {
    return {};
  }
}
