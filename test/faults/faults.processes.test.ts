import { afterAll, describe, expect, inject, it } from 'vitest';
import { faults } from './fault.js';
import { complaints, Sites } from './matrix.js';

// All of them take minutes: that is what `npx tsx test/faults/run.ts` is for.
const chosen = faults.filter(({ matters }) => matters || process.env['FAULTS'] === 'all');

describe('every verb of a client does what it must', () => {
  const sites = new Sites(inject('transport'));
  afterAll(() => sites[Symbol.asyncDispose]());

  // What else the machine does can only add to pauses and failures: where there are any, it is tried again.
  it.each(chosen)('under: $name', { timeout: 120_000, retry: 2 }, async (fault) => {
    expect(complaints(await sites.run(fault))).toEqual([]);
  });
});
