import { expect, it } from 'vitest';
import { prefixRange } from '../../src/core/store/keys.js';
import { useEtcd } from '../support/etcd.js';
import { cliOn } from './support/cli.js';

const etcd = useEtcd();
const cli = cliOn(etcd);

function tenantName(): string {
  const name = etcd.name();
  etcd.defer(() => {
    const parts = ['records', 'terms', 'audit'].map(
      (part) => `.etcd-recipes/tenants/${part}/${name}`,
    );
    const success = [`tenants/${name}/`, ...parts].map((each) => ({ delete: prefixRange(each) }));
    return etcd.admin.commit({ success });
  });
  return name;
}

it('tenant creates, shows, suspends and deletes one, and tells who did that and why', async () => {
  const name = tenantName();
  const create = ['tenant', 'create', name, '--isolation', 'prefix', '--keys', '5', '--json'];
  const created = cli([...create, '--label', 'ops']);
  expect(await created.ended).toBe(0);
  expect(JSON.parse(created.stdout)).toEqual({ prefix: `tenants/${name}/` });
  const admin = await etcd.connect();
  await (await admin.tenant(name)).client.put('k', 'v');
  expect(await cli(['tenant', 'suspend', name, '--reason', 'unpaid']).ended).toBe(0);
  await admin.tenants.setQuota(name, { keys: 1, bytes: 9 });
  const [shown, list] = [cli(['tenant', 'show', name]), cli(['tenant', 'list'])];
  expect(await Promise.all([shown.ended, list.ended])).toEqual([0, 0]);
  expect(shown.stdout).toMatch(/^state +suspended\n.*keys +1 of 1\nbytes +2 of 9\n$/s);
  expect(list.stdout).toMatch(new RegExp(`^${name} +suspended +1 keys, 9 bytes$`, 'm'));
  const deleted = cli(['tenant', 'delete', name, '--json']);
  expect(await deleted.ended).toBe(0);
  expect(JSON.parse(deleted.stdout)).toEqual({ deleted: 1 });
  const audit = cli(['tenant', 'audit', name]);
  expect(await audit.ended).toBe(0);
  const rows = audit.stdout
    .trimEnd()
    .split('\n')
    .map((row) => row.split(/ {2,}/));
  expect(rows.map(([, action]) => action)).toEqual(['create', 'suspend', 'quota', 'delete']);
  expect(rows[0]?.[0]).toMatch(/^\d{4}-.*Z by ops$/);
  expect(rows[1]?.[3]).toBe('unpaid');
});

it('tenant says what is missing, and what is wrong', async () => {
  const create = cli(['tenant', 'create', etcd.name()]);
  const suspend = cli(['tenant', 'suspend', 'a/b']);
  expect(await Promise.all([create.ended, suspend.ended])).toEqual([69, 64]);
  expect(create.stderr).toMatch(/etcd asks nobody who they are.*etcdctl auth enable/);
});
