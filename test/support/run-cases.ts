import { it } from 'vitest';
import type { TestCase } from '../../src/testing/index.js';

/** Has vitest run the cases of a suite. */
export function runCases(cases: readonly TestCase[]): void {
  const define: (name: string, run: () => Promise<void>) => void = it;
  for (const { name, run } of cases) define(name, run);
}
