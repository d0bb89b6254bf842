import { expect, it } from 'vitest';
import { authDefects } from './auth-defects.js';
import { compareEtcds, type Subject } from './compare.js';
import { type Defect, defects } from './defects.js';
import { authentication, everything } from './subjects.js';

/** So many requests are enough to find any of them. */
const ENOUGH = 10_000;

it.each(Object.entries(defects))('%s is found', (_name, defect) => isFound(everything, defect));

it.each(Object.entries(authDefects))('%s is found', (_name, defect) => {
  return isFound(authentication, defect);
});

async function isFound<Operation>(subject: Subject<Operation>, defect: Defect): Promise<void> {
  const repair = defect();
  try {
    const { difference } = await compareEtcds(subject, {
      seed: 7,
      requests: ENOUGH,
      shrink: false,
    });
    expect(difference).toBeDefined();
  } finally {
    repair();
  }
}
