import { expect, it, vi } from 'vitest';
import { prefixRange } from '../../src/core/keys.js';
import { type ContenderReport, runContenders } from '../support/contenders.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();

const run = async (locked: boolean): Promise<{ counted: number; report: ContenderReport }> => {
  const name = etcd.name();
  const counter = async (): Promise<number> => {
    const { kvs } = await etcd.admin.read({ key: `${name}/counter` });
    return Number(kvs[0]?.value.toString() ?? 0);
  };
  const enough = (): Promise<void> =>
    vi.waitFor(async () => expect(await counter()).toBeGreaterThan(400), 40_000);
  const report = await runContenders({ endpoint: etcd.endpoint, name, locked }, 8, enough);
  const counted = await counter();
  expect(await etcd.count(`mutex/${name}`)).toBe(0);
  await etcd.admin.commit({ success: [{ delete: prefixRange(name) }] });
  return { counted, report };
};

it('loses no update of eight processes that lock', { timeout: 60_000 }, async () => {
  const { counted, report } = await run(true);
  expect(report).toEqual({ increments: counted, tokensOutOfOrder: 0 });
});

it('would show updates lost without the lock', { timeout: 60_000 }, async () => {
  const { counted, report } = await run(false);
  expect(counted).toBeLessThan(report.increments);
});
