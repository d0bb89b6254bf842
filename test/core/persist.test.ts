import { expect, it } from 'vitest';
import { Patience } from '../../src/core/etcd3-patience.js';
import { limitAtOneMember } from '../../src/core/persist.js';
import { useEtcd } from '../support/etcd.js';
import { has, noAnswer, override } from '../support/override.js';

const etcd = useEtcd();

it('asks one member after the other, and all of them twice before it gives them more time', () => {
  const patience = new Patience(500);
  const limits = Array.from({ length: 10 }, (_, tries) => limitAtOneMember(patience, tries));
  expect(limits).toEqual([...Array.from({ length: 6 }, () => 500), 1_000, 1_000, 1_000, 2_000]);
});

it.each(['put', 'delete'] as const)(
  'leaves a member that does not answer the %s of a key in line as soon as it leaves others',
  async (kind) => {
    const limits: unknown[] = [];
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        async commit(txn, options) {
          if (!has(kind, txn)) return store.commit(txn, options);
          limits.push(options?.timeout);
          if (limits.length < 3) throw noAnswer();
          return store.commit(txn, options);
        },
      }),
    );
    const hold = await coordinator.mutex(etcd.name()).acquire();
    expect(await hold.release()).toBe(true);
    expect(limits.slice(0, 3)).toEqual([500, 500, 500]);
  },
);
