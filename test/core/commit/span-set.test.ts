import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SpanSet } from '../../../src/core/commit/span-set.js';
import type { Span } from '../../../src/core/store/key-span.js';

const letters = 'abcdefgh'.split('');
const letter = fc.constantFrom(...letters);
const key = letter.map((id): Span => ({ low: id, high: id }));
const range = fc
  .tuple(letter, fc.option(letter, { nil: undefined }))
  .filter(([low, high]) => high === undefined || low < high)
  .map(([low, high]): Span => ({ low, high }));
const spans = fc.array(fc.oneof(key, range), { maxLength: 8 });

function setOf(all: readonly Span[]): SpanSet {
  const set = new SpanSet();
  for (const span of all) set.add(span);
  return set;
}

/** The keys that a range holds, of the letters and those between them. */
function keysOf({ low, high }: Span): string[] {
  const all = letters.flatMap((id) => [id, `${id}-`]);
  if (low === high) return [low];
  return all.filter((id) => id >= low && (high === undefined || id < high));
}

describe('a set of ranges', () => {
  it('meets another one if they have a key in common', () => {
    const property = fc.property(spans, spans, (ours, theirs) => {
      const held = new Set(ours.flatMap(keysOf));
      const common = theirs.flatMap(keysOf).some((id) => held.has(id));
      expect(setOf(ours).meets(theirs)).toBe(common);
    });
    fc.assert(property, { numRuns: 5_000 });
  });

  it('holds what all that were put into it hold', () => {
    const property = fc.property(spans, spans, spans, (some, others, asked) => {
      const both = setOf(some);
      both.addAll(others);
      expect(both.meets(asked)).toBe(setOf([...some, ...others]).meets(asked));
    });
    fc.assert(property, { numRuns: 1_000 });
  });
});
