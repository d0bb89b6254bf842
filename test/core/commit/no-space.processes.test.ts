import { expect, it } from 'vitest';
import { makeStore } from '../../../src/container.js';
import { start } from '../../../src/embed/index.js';
import { RefusedError, type Txn } from '../../../src/index.js';
import { rejection } from '../../../src/testing/rejection.js';

it('where etcd has no space, deletions that come together with puts are made', async () => {
  await using server = await start({
    engine: 'etcd',
    unsafeNoFsync: true,
    quotaBackendBytes: 2 * 1024 * 1024,
  });
  const store = makeStore({ endpoints: server.endpoints });
  try {
    const put = (key: string): Txn => ({ success: [{ put: { key, value: 'x'.repeat(20_000) } }] });
    const exactlyOnce = { exactlyOnce: true } as const;
    let kept = 0;
    let full: unknown;
    while (full === undefined && kept < 1_000) {
      full = await rejection(store.commit(put(`kept/${kept}`), exactlyOnce));
      if (full === undefined) kept += 1;
    }
    expect(full).toBeInstanceOf(RefusedError);
    const refused = 'ERR_REFUSED';
    for (const [options, code] of [
      [exactlyOnce, refused],
      [exactlyOnce, refused],
      // etcd 3.4 does not see what a put in a transaction inside another needs.
      [{}, expect.toBeOneOf([refused, 'undefined'])],
    ] as const) {
      const puts = Array.from({ length: 10 }, (_, i) =>
        rejection(store.commit({ success: [{ put: { key: `more/${i}`, value: '' } }] }, options)),
      );
      const removals = Array.from({ length: 10 }, async () => {
        kept -= 1;
        const { replies } = await store.commit(
          { success: [{ delete: { key: `kept/${kept}` } }] },
          options,
        );
        return replies[0]?.count;
      });
      const removed = await Promise.all(removals);
      expect(removed).toEqual(removed.map(() => 1));
      const codes = (await Promise.all(puts)).map((error) =>
        String((error as RefusedError | undefined)?.code),
      );
      expect(codes).toEqual(codes.map(() => code));
    }
  } finally {
    store.close();
  }
});
