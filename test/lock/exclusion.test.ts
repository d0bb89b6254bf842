import { expect, it } from 'vitest';
import { useEtcd } from '../support/etcd.js';
import { increment } from '../support/increments.js';

const etcd = useEtcd();

it('eight processes that lock lose no update', { timeout: 180_000 }, async () => {
  const { counted, report } = await increment(etcd, true);
  expect(report).toEqual({ increments: counted, tokensOutOfOrder: 0 });
});
