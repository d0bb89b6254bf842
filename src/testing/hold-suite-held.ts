import assert from 'node:assert/strict';
import type { Hold } from '../core/line/hold.js';
import { HoldLostError, UnavailableError } from '../core/store/errors.js';
import type { HoldBench, HoldCase } from './hold-bench.js';

/** Writes under a hold for as long as no answer comes. */
async function put({ target }: HoldBench, hold: Hold, value: string): Promise<boolean> {
  for (;;) {
    try {
      return (await hold.txn().put(target, value).commit()).succeeded;
    } catch (error) {
      // What a user would do: the value is the same, so sending it again does no harm.
      if (!(error instanceof UnavailableError)) throw error;
    }
  }
}

/** What a hold is good for, and how it ends. */
export const heldCases: readonly HoldCase[] = [
  {
    name: 'a hold is released once, however often it is asked',
    async run(bench) {
      const { first } = await bench.pair();
      const hold = await first.acquire();
      const answers = await Promise.all([hold.release(), hold.release()]);
      await hold[Symbol.asyncDispose]();
      assert.deepEqual(answers, [true, true]);
      await bench.queued(0);
    },
  },
  {
    name: 'a hold is lost when somebody deletes its key, and its release says so',
    async run(bench) {
      const { first } = await bench.pair();
      const hold = await first.acquire();
      assert.equal(hold.signal.aborted, false);
      await bench.remove(hold);
      await bench.until('the signal aborts', () => hold.signal.aborted);
      assert.ok(hold.signal.reason instanceof HoldLostError);
      assert.equal(hold.lost, 'deleted');
      assert.equal(hold.remaining(), 0);
      assert.equal(await hold.release(), false);
    },
  },
  {
    name: 'a hold says that it was lost when it is released before the news of its loss came',
    async run(bench) {
      const { first, a } = await bench.pair();
      const hold = await first.acquire();
      await bench.admin.revoke(a.session.id);
      const released = await hold.release();
      assert.ok(!released || bench.lossy, 'released says that it was held');
    },
  },
  {
    name: 'a hold that is released late does not remove that of a later holder',
    async run(bench) {
      const { first, second } = await bench.pair();
      const stale = await first.acquire();
      await bench.remove(stale);
      const hold = await second.acquire();
      await stale.release();
      assert.equal(await bench.contenders(), 1);
      assert.equal(await hold.release(), true);
    },
  },
  {
    name: 'a hold guards a transaction: it takes effect while held, and not after a loss',
    async run(bench) {
      const { first } = await bench.pair();
      const hold = await first.acquire();
      assert.equal(await put(bench, hold, 'held'), true);
      await bench.remove(hold);
      await assert.rejects(put(bench, hold, 'lost'), HoldLostError);
      assert.equal(await bench.written(), 'held');
      assert.equal(hold.signal.aborted, true);
    },
  },
  {
    name: 'a hold refuses a transaction after its release',
    async run(bench) {
      const { first } = await bench.pair();
      const hold = await first.acquire();
      await hold.release();
      await assert.rejects(hold.txn().put(bench.target, 'x').commit(), HoldLostError);
      assert.equal(await bench.written(), undefined);
    },
  },
];
