import { expect, it } from 'vitest';
import { Standstill } from '../../../src/core/time/standstill.js';
import { VirtualClock } from '../../../src/embed/virtual-clock.js';

it('looks for standstills again after it was stopped', async () => {
  const clock = new VirtualClock();
  let looked = 0;
  const matters = (): boolean => {
    looked += 1;
    return false;
  };
  const standstill = new Standstill(clock, 100, { matters, stalled: () => {} });
  standstill.watch();
  standstill.stop();
  await clock.advance(100);
  expect(looked).toBe(0);
  standstill.watch();
  await clock.advance(100);
  expect(looked).toBe(1);
});
