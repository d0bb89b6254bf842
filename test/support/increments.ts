import { expect, vi } from 'vitest';
import { prefixRange } from '../../src/core/store/keys.js';
import { type ContenderReport, runContenders } from './contenders.js';
import type { TestEtcd } from './etcd.js';

/** Eight processes add to one counter until it has passed 400: what it came to, and what they did. */
export async function increment(
  etcd: TestEtcd,
  locked: boolean,
): Promise<{ counted: number; report: ContenderReport }> {
  const name = etcd.name();
  const counter = async (): Promise<number> => {
    const { kvs } = await etcd.admin.read({ key: `${name}/counter` });
    return Number(kvs[0]?.value.toString() ?? 0);
  };
  const enough = (): Promise<void> =>
    vi.waitFor(async () => expect(await counter()).toBeGreaterThan(400), 170_000);
  const report = await runContenders({ endpoint: etcd.endpoint, name, locked }, 8, enough);
  const counted = await counter();
  expect(await etcd.count(`mutex/${name}`)).toBe(0);
  await etcd.admin.commit({ success: [{ delete: prefixRange(name) }] });
  return { counted, report };
}
