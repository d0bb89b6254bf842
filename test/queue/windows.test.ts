import { describe, expect, it } from 'vitest';
import { useEtcd } from '../support/etcd.js';
import { noAnswer, override } from '../support/override.js';

const etcd = useEtcd();
const soon = { timeout: 60_000 };
/** A window of a minute has a lease that lasts longer. */
const lasts = 66_000;

describe('puts of one process', () => {
  it('stay in the order of the calls where the lease of a window is gone', async () => {
    const jobs = (await etcd.connect()).queue<number>(etcd.name('queue'));
    const folder = `queue/${jobs.name}/unique/`;
    await jobs.put(0, { dedupe: { key: 'z', window: 60_000 } });
    const { kvs } = await etcd.admin.read({ key: folder, end: folder.replace(/\/$/, '0') });
    await etcd.admin.revoke(kvs[0]?.lease ?? 0n);
    const orderKey = 'a';
    await Promise.all([
      jobs.put(1, { orderKey, dedupe: { key: 'x', window: 60_000 } }),
      jobs.put(2, { orderKey }),
      jobs.put(3, { orderKey }),
    ]);
    const taken: number[] = [];
    for (let i = 0; i < 4; i += 1) {
      const job = await jobs.next(soon);
      taken.push(job.value);
      await job.ack();
    }
    expect(taken).toEqual([0, 1, 2, 3]);
  });
});

describe('the outcome of a put', () => {
  it('is that it was not put, where its window could not be opened', async () => {
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        grant: (lease, ttl, options) =>
          ttl === lasts ? Promise.reject(noAnswer()) : store.grant(lease, ttl, options),
      }),
    );
    const jobs = coordinator.queue<number>(etcd.name('queue'));
    const put = jobs.put(1, { dedupe: { key: 'x', window: 60_000 } });
    await expect(put).rejects.toMatchObject({ outcome: 'not-applied' });
  });
});

describe('windows', () => {
  it('share a lease also where they begin together', async () => {
    let grants = 0;
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        grant: (lease, ttl, options) => {
          if (ttl === lasts) grants += 1;
          return store.grant(lease, ttl, options);
        },
      }),
    );
    const jobs = coordinator.queue<number>(etcd.name('queue'));
    await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        jobs.put(i, { dedupe: { key: `k${i}`, window: 60_000 } }),
      ),
    );
    expect(grants).toBe(1);
  });
});
