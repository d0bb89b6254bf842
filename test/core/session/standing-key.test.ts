import { expect, it } from 'vitest';
import { LeaseSlot } from '../../../src/core/session/lease-slot.js';
import { Session } from '../../../src/core/session/session.js';
import { StandingKey } from '../../../src/core/session/standing-key.js';
import { ClosedError } from '../../../src/index.js';
import { useEtcd } from '../../support/etcd.js';
import { has, override } from '../../support/override.js';

const etcd = useEtcd();
const nothing = (): void => {};
const user = { stands: nothing, lost: nothing, taken: nothing, failed: nothing };

/** Calls `work` after so many turns of the queue of microtasks. */
async function soon(turns: number, work: () => unknown): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
  await work();
}

it('leaves nothing behind, however soon after the answer to its put it is closed', async () => {
  const { admin } = etcd;
  let answered = nothing;
  const store = override(admin, {
    commit: async (txn, options) => {
      const reply = await admin.commit(txn, options);
      if (has('put', txn) && reply.succeeded) answered();
      return reply;
    },
    // What watches tell comes later.
    watch: (range, listener, options) =>
      admin.watch(range, { ...listener, events: nothing }, options),
  });
  const session = await Session.open(store);
  etcd.defer(() => session.close(0));
  for (let turns = 0; turns < 12; turns += 1) {
    const name = etcd.name();
    const key = new StandingKey(session, name, user);
    let closing: Promise<void> | undefined;
    answered = () => {
      closing ??= soon(turns, () => key.close());
    };
    await key.want('x').catch(nothing);
    await closing;
    expect([turns, await etcd.count(name)]).toEqual([turns, 0]);
  }
});

it('takes no room on a lease, however soon after the grant of one it is closed', async () => {
  const { admin } = etcd;
  let granted = nothing;
  let grants = 0;
  const store = override(admin, {
    grant: async (...args) => {
      const ttl = await admin.grant(...args);
      grants += 1;
      granted();
      return ttl;
    },
  });
  for (let turns = 0; turns < 12; turns += 1) {
    granted = nothing;
    const session = await Session.open(store, { keysPerLease: 1 });
    etcd.defer(() => session.close(0));
    const [full, key, other] = [0, 1, 2].map(() => new StandingKey(session, etcd.name(), user));
    await full?.want('x');
    grants = 0;
    let closing: Promise<void> | undefined;
    granted = () => {
      closing ??= soon(turns, () => key?.close());
    };
    await key?.want('x').catch(nothing);
    await closing;
    await other?.want('x');
    expect([turns, grants]).toEqual([turns, 1]);
    await session.close(0);
  }
});

it('gives no room for a key once it is closed, and asks etcd for none', async () => {
  const { admin } = etcd;
  const waits = new AbortController();
  let grants = 0;
  const store = override(admin, {
    grant: (...args) => {
      grants += 1;
      if (grants > 3) waits.abort();
      return admin.grant(...args);
    },
  });
  const session = await Session.open(store);
  await session.close(0);
  const work = LeaseSlot.during(session, waits.signal, () => Promise.resolve());
  await expect(work).rejects.toThrow(ClosedError);
  expect(grants).toBe(1);
});
