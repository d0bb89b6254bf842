import { expect, it, vi } from 'vitest';
import { useEtcd } from '../support/etcd.js';
import { cliOn, keys } from './support/cli.js';

const etcd = useEtcd();
const cli = cliOn(etcd);

it('shows what is registered, and follows it', async () => {
  const name = etcd.name('service');
  const watch = cli(['discover', name, '--watch']);
  const flags = ['--id', 'a', '--tag', 'x', '--tag', 'y', '--zone', 'eu', '--version', '2.1'];
  const more = ['--weight', '3', '--metadata', '{"n":1}', '--json'];
  const registered = cli(['register', name, '10.0.0.7:80', ...flags, ...more]);
  await registered.printed(/\n/);
  expect(JSON.parse(registered.stdout)).toEqual({ id: 'a', key: `service/${name}/a` });
  const [json, nobody] = [
    cli(['discover', name, '--tag', 'y', '--version', '2', '--json', '--all']),
    cli(['discover', name, '--zone', 'us']),
  ] as const;
  expect(await json.ended).toBe(0);
  expect(JSON.parse(json.stdout)).toEqual({
    id: 'a',
    address: '10.0.0.7:80',
    tags: ['x', 'y'],
    zone: 'eu',
    version: '2.1',
    weight: 3,
    metadata: { n: 1 },
    state: 'up',
  });
  expect(await nobody.ended).toBe(75);
  await watch.printed('added    10.0.0.7:80  a');
  registered.signal('SIGINT');
  expect(await registered.ended).toBe(0);
  await watch.printed('removed  10.0.0.7:80  a');
  watch.signal('SIGINT');
  expect(await watch.ended).toBe(0);
});

it('registers while a command runs, and drains when that is to end', async () => {
  const name = etcd.name('service');
  const script =
    'trap "sleep 1; exit 7" TERM; echo begun $ETCD_RECIPES_INSTANCE_ID; while :; do sleep 0.05; done';
  const run = cli(['register', name, 'here', '--id', 'b', '--', 'sh', '-c', script]);
  await run.printed('begun b');
  await keys(etcd, `service/${name}/b`, 1);
  run.signal('SIGTERM');
  await vi.waitFor(async () => {
    const { kvs } = await etcd.admin.read({ key: `service/${name}/b` });
    expect(String(kvs[0]?.value)).toContain('draining');
  });
  expect(await run.ended).toBe(7);
  await keys(etcd, `service/${name}/`, 0);
});

it('refuses what it cannot use', async () => {
  const name = etcd.name('service');
  const bad = cli(['register', name, 'here', '--metadata', '5']);
  const service = (await etcd.connect()).service(name);
  await service.register({ id: 'd', address: 'mine' });
  const conflict = cli(['register', name, 'here', '--id', 'd']);
  expect(await bad.ended).toBe(64);
  expect(bad.stderr).toContain('--metadata must be an object of JSON');
  expect(await conflict.ended).toBe(69);
});

it('says which instances cannot be read', async () => {
  const name = etcd.name('service');
  const key = `service/${name}/bad`;
  await etcd.admin.commit({ success: [{ put: { key, value: '{"address":5}' } }] });
  const discover = cli(['discover', name]);
  expect(await discover.ended).toBe(75);
  expect(discover.stderr).toContain('instance bad is left out: address must be a non-empty string');
});
