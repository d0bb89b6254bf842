import { expect, it } from 'vitest';
import { useEtcd } from '../support/etcd.js';
import { increment } from '../support/increments.js';

const etcd = useEtcd();

it('eight processes that do not lock lose updates', { timeout: 180_000 }, async () => {
  const { counted, report } = await increment(etcd, false);
  expect(counted).toBeLessThan(report.increments);
});
