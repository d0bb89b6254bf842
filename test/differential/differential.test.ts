import { expect, it } from 'vitest';
import { compareEtcds } from './compare.js';
import { tooSeldom } from './coverage.js';
import { authentication, everything } from './subjects.js';

it('the in-process server does what etcd does', async () => {
  const { requests, counts, difference } = await compareEtcds(everything, {
    seed: 1,
    requests: 20_000,
    pairs: 4,
  });
  expect(difference).toBeUndefined();
  expect(tooSeldom(requests, counts, everything.expected)).toEqual([]);
}, 360_000);

it('what users may do is what etcd lets them do', async () => {
  const { requests, counts, difference } = await compareEtcds(authentication, {
    seed: 1,
    requests: 2_000,
    pairs: 3,
  });
  expect(difference).toBeUndefined();
  expect(tooSeldom(requests, counts, authentication.expected)).toEqual([]);
}, 360_000);
