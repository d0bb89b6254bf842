import { expect, it } from 'vitest';
import { compareEtcds } from './compare.js';
import { defects } from './defects.js';

/** So many requests are enough to find any of them. */
const ENOUGH = 10_000;

it.each(Object.entries(defects))('%s is found', async (_name, defect) => {
  const repair = defect();
  try {
    const { difference } = await compareEtcds({
      seed: 7,
      requests: ENOUGH,
      shrink: false,
    });
    expect(difference).toBeDefined();
  } finally {
    repair();
  }
});
