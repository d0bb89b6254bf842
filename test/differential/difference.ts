import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';

/** The two etcds did not do the same. */
export class Difference extends Error {}

/** @throws Difference if what etcd said, and what ours said, is not the same */
export function compare(what: string, expected: unknown, found: unknown): void {
  if (isDeepStrictEqual(expected, found)) return;
  const { path, values } = firstDifference(expected, found);
  const [etcd, ours] = values.map(show);
  throw new Difference(`${what}, at ${path}:\n  etcd: ${etcd}\n  ours: ${ours}`);
}

/** Where two values begin to differ, and what they are there. */
function firstDifference(a: unknown, b: unknown): { path: string; values: [unknown, unknown] } {
  const isOpen = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null;
  if (isOpen(a) && isOpen(b)) {
    for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
      if (isDeepStrictEqual(a[name], b[name])) continue;
      const { path, values } = firstDifference(a[name], b[name]);
      return { path: `.${name}${path}`, values };
    }
  }
  return { path: '', values: [a, b] };
}

const LONGEST = 1000;

function show(value: unknown): string {
  const text = fc.stringify(value);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}...` : text;
}
