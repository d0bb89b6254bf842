import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import {
  ClosedError,
  HoldLostError,
  SessionLostError,
  WaitTimeoutError,
} from '../core/store/errors.js';
import type { HoldCase } from './hold-bench.js';
import { forLater, rejection } from './rejection.js';

/** How contenders wait for one another. */
export const waitingCases: readonly HoldCase[] = [
  {
    name: 'a wait ends only after the holder has released',
    async run(bench) {
      const { first, second } = await bench.pair();
      const hold = await first.acquire();
      let granted = false;
      const next = forLater(
        second.acquire().finally(() => {
          granted = true;
        }),
      );
      await bench.queued(2);
      await delay(50);
      assert.equal(granted, false);
      assert.equal(await hold.release(), true);
      const after = await next;
      assert.ok(after.token > hold.token, `${after.token} is larger than ${hold.token}`);
      await after.release();
      await bench.queued(0);
    },
  },
  {
    name: 'waits end in the order of arrival, with increasing tokens, one at a time',
    async run(bench) {
      const { first, second } = await bench.pair();
      const order: number[] = [];
      const tokens: bigint[] = [];
      let inside = 0;
      const contend = async (i: number): Promise<void> => {
        const hold = await (i % 2 === 0 ? first : second).acquire();
        inside += 1;
        assert.equal(inside, 1);
        order.push(i);
        tokens.push(hold.token);
        await delay(2);
        inside -= 1;
        await hold.release();
      };
      const blocker = await first.acquire();
      const all: Promise<void>[] = [];
      for (let i = 0; i < 8; i += 1) {
        all.push(forLater(contend(i)));
        await bench.queued(i + 2);
      }
      await blocker.release();
      await Promise.all(all);
      assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7]);
      assert.ok(
        tokens.every((token, i) => token > (tokens[i - 1] ?? blocker.token)),
        String(tokens),
      );
      await bench.queued(0);
    },
  },
  {
    name: 'a wait rejects with the reason of an aborted signal and leaves no key',
    async run(bench) {
      const { first, second } = await bench.pair();
      const hold = await first.acquire();
      const controller = new AbortController();
      const outcome = rejection(second.acquire({ signal: controller.signal }));
      await bench.queued(2);
      const reason = new Error('changed my mind');
      controller.abort(reason);
      assert.equal(await outcome, reason);
      await bench.queued(1);
      await hold.release();
      await bench.queued(0);
    },
  },
  {
    name: 'a wait sends nothing when its signal is aborted already',
    async run(bench) {
      const { first } = await bench.pair();
      const reason = new Error('before it began');
      const signal = AbortSignal.abort(reason);
      assert.equal(await rejection(first.acquire({ signal })), reason);
      assert.equal(await rejection(first.tryAcquire({ signal })), reason);
      assert.equal(await bench.contenders(), 0);
    },
  },
  {
    name: 'a wait rejects after its timeout and leaves no key',
    async run(bench) {
      const { first, second } = await bench.pair();
      const hold = await first.acquire();
      await assert.rejects(second.acquire({ timeout: 100 }), WaitTimeoutError);
      await bench.queued(1);
      await hold.release();
    },
  },
  {
    name: 'a wait leaves no key however short its timeout is',
    async run(bench) {
      const { first, second } = await bench.pair();
      const hold = await first.acquire();
      const tries = Array.from({ length: 200 }, (_, i) =>
        rejection(second.acquire({ timeout: 0.1 + (i % 20) / 10 })),
      );
      const outcomes = await Promise.all(tries);
      assert.deepEqual(
        outcomes.filter((error) => !(error instanceof WaitTimeoutError)),
        [],
      );
      await bench.queued(1);
      await hold.release();
      await bench.queued(0);
    },
  },
  {
    name: 'a waiter in the middle that gives up lets nobody overtake',
    async run(bench) {
      const { first, second } = await bench.pair();
      const hold = await first.acquire();
      const controller = new AbortController();
      const middle = rejection(second.acquire({ signal: controller.signal }));
      await bench.queued(2);
      let granted = false;
      const last = forLater(
        first.acquire().finally(() => {
          granted = true;
        }),
      );
      await bench.queued(3);
      controller.abort();
      await middle;
      await bench.queued(2);
      await delay(50);
      assert.equal(granted, false);
      await hold.release();
      await (await last).release();
    },
  },
  {
    name: 'a wait rejects at once when its lease is revoked, while the holder goes on',
    async run(bench) {
      const { first, second, b } = await bench.pair();
      const hold = await first.acquire();
      const outcome = rejection(second.acquire());
      await bench.queued(2);
      await bench.admin.revoke(b.session.id);
      const error = await outcome;
      assert.ok(error instanceof HoldLostError || error instanceof SessionLostError, String(error));
      assert.equal(hold.lost, undefined);
      assert.equal(await hold.release(), true);
    },
  },
  {
    name: 'a wait rejects when its own session is closed',
    async run(bench) {
      const { first, second, b } = await bench.pair();
      const hold = await first.acquire();
      const outcome = rejection(second.acquire());
      await bench.queued(2);
      await b.session.close();
      assert.ok((await outcome) instanceof ClosedError);
      await bench.queued(1);
      await hold.release();
    },
  },
  {
    name: 'a wait ends when the session of the holder is closed',
    async run(bench) {
      const { first, second, a } = await bench.pair();
      const hold = await first.acquire();
      const wait = forLater(second.acquire());
      await bench.queued(2);
      await a.session.close();
      assert.equal(hold.lost, 'closed');
      await (await wait).release();
    },
  },
  {
    name: 'two objects of one session are two contenders',
    async run(bench) {
      const coordinator = await bench.connect();
      const [one, two] = [bench.make(coordinator), bench.make(coordinator)];
      const hold = await one.acquire();
      await assert.rejects(two.acquire({ timeout: 100 }), WaitTimeoutError);
      await hold.release();
      await (await two.acquire()).release();
      await bench.queued(0);
    },
  },
];
