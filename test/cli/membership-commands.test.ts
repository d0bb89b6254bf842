import { describe, expect, it } from 'vitest';
import { waitFor } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';
import { cliOn, keys } from './support/cli.js';

const etcd = useEtcd();
const cli = cliOn(etcd);

describe('join', () => {
  it('is a member until it is interrupted', async () => {
    const name = etcd.name('group');
    const run = cli(['join', name, '{"n":1}', '--id', 'a', '--json']);
    await run.printed(/\n/);
    const [member] = await (await etcd.connect()).group(name).inspect();
    expect(member).toMatchObject({ id: 'a', payload: { n: 1 } });
    expect(JSON.parse(run.stdout)).toEqual({ id: 'a', token: String(member?.token) });
    run.signal('SIGINT');
    expect(await run.ended).toBe(0);
    await keys(etcd, `group/${name}/`, 0);
  });

  it('is a member while a command runs that gets our signals, whatever is lost meanwhile', async () => {
    const name = etcd.name('group');
    const script =
      'trap "exit 7" TERM; echo begun $ETCD_RECIPES_MEMBER_ID; while :; do sleep 0.05; done';
    const run = cli(['join', name, '--id', 'b', '--', 'sh', '-c', script]);
    await run.printed('begun b');
    await etcd.admin.commit({ success: [{ delete: { key: `group/${name}/b` } }] });
    await waitFor(() => run.stderr.includes('joined again'));
    const another = cli(['join', name, '--id', 'b', '--wait', '20', '--', 'true']);
    expect(await another.ended).toBe(75);
    run.signal('SIGTERM');
    expect(await run.ended).toBe(7);
    await keys(etcd, `group/${name}/`, 0);
  });
});

describe('members', () => {
  it('lists who is in a group, and what each says of itself', async () => {
    const name = etcd.name('group');
    const group = (await etcd.connect({ session: { label: 'one' } })).group(name);
    const { token } = await group.join({ port: 1 }, { id: 'a' });
    const [table, json] = [cli(['members', name]), cli(['members', name, '--json'])];
    expect([await table.ended, await json.ended]).toEqual([0, 0]);
    expect(table.stdout).toMatch(new RegExp(`1 +a +{"port":1} .* one .* ${token} `));
    expect(JSON.parse(json.stdout)).toMatchObject({
      name,
      members: [{ id: 'a', value: '{"port":1}', label: 'one', token: String(token) }],
    });
  });

  it('with --watch tells who joins, changes and leaves, until it is interrupted', async () => {
    const name = etcd.name('group');
    const group = (await etcd.connect()).group(name);
    const run = cli(['members', name, '--watch']);
    await run.printed('nobody');
    const membership = await group.join('x', { id: 'a' });
    await run.printed(/joined +\d+ +a +"x"/);
    await membership.update('y');
    await run.printed(/changed +\d+ +a +"y"/);
    const json = cli(['members', name, '--watch', '--json']);
    await json.printed(/"members":1,"joined":\[{"id":"a"/);
    await membership.leave();
    await run.printed(/left +\d+ +a/);
    await json.printed(/"members":0,.*"left":\[{"id":"a"/);
    run.signal('SIGINT');
    json.signal('SIGTERM');
    expect([await run.ended, await json.ended]).toEqual([0, 0]);
  });
});

describe('inspect --kind partitioner', () => {
  it('shows who owns which shard', async () => {
    const name = etcd.name('partitioner');
    const partitioner = (await etcd.connect()).partitioner(name, { shards: 2, settle: 0 });
    const run = partitioner.run(() => {}, { id: 'a' });
    await expect
      .poll(async () => (await partitioner.inspect()).shards.filter(({ owner }) => owner).length)
      .toBe(2);
    const json = cli(['inspect', name, '--kind', 'partitioner', '--json']);
    expect(await json.ended).toBe(0);
    expect(JSON.parse(json.stdout)).toMatchObject({
      shards: 2,
      members: 1,
      moving: 0,
      owners: [
        { as: '0', id: 'a' },
        { as: '1', id: 'a' },
      ],
    });
    await partitioner.close();
    await run;
  });
});
