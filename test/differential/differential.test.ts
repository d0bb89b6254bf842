import { expect, it } from 'vitest';
import { compareEtcds } from './compare.js';
import { tooSeldom } from './coverage.js';

it('the in-process server does what etcd does', async () => {
  const { requests, counts, difference } = await compareEtcds({
    seed: 1,
    requests: 20_000,
    pairs: 4,
  });
  expect(difference).toBeUndefined();
  expect(tooSeldom(requests, counts)).toEqual([]);
}, 180_000);
