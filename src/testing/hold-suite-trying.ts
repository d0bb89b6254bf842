import assert from 'node:assert/strict';
import type { HoldCase } from './hold-bench.js';
import { forLater } from './rejection.js';

/** How contenders try without waiting. */
export const tryingCases: readonly HoldCase[] = [
  {
    name: 'a try gives a hold when nobody is there, and undefined otherwise',
    async run(bench) {
      const { first, second } = await bench.pair();
      const hold = await first.tryAcquire();
      assert.ok(hold);
      assert.equal(await second.tryAcquire(), undefined);
      assert.equal(await hold.release(), true);
      const next = await second.tryAcquire();
      assert.ok(next);
      await next.release();
      await bench.queued(0);
    },
  },
  {
    name: 'a try leaves a waiter of the same session alone',
    async run(bench) {
      const { first, second } = await bench.pair();
      const hold = await first.acquire();
      const wait = forLater(second.acquire());
      await bench.queued(2);
      assert.equal(await second.tryAcquire(), undefined);
      await bench.queued(2);
      await hold.release();
      await (await wait).release();
    },
  },
];
