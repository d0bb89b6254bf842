import { expect, inject, it } from 'vitest';
import { useEtcd } from '../support/etcd.js';
import { randomFrom } from '../support/random.js';
import { RawClient } from '../support/raw-client.js';
import { forbidden, Intruder } from './support/intruder.js';
import { Others } from './support/others.js';
import { useSecured } from './support/secured.js';
import { Trial } from './support/trial.js';

const etcd = useEtcd();
const secured = useSecured(etcd);
const seed = Number(process.env['TENANT_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
/** How many attempts; `npm run soak` has more of them. */
const usual = inject('engine') === 'in-process' ? 2_000 : 1_000;
const operations = Number(process.env['TENANT_OPERATIONS'] ?? usual);

/** What is outside: what the prefix begins with, what is next to it, and where records of tenants are. */
const walls = [
  '\0',
  '\xff',
  '\xff\xff\xff\xff',
  '\x80',
  'mutex/a/1',
  '.etcd-recipes/once/1',
  '.etcd-recipes/tenants/records/a',
  '.etcd-recipes/tenants/terms/a.b',
  'tenants/',
  'tenants/a',
  'tenants/a.b',
  'tenants/a.b/x',
  'tenants/a.',
  'tenants/a0',
  'tenants/b/x',
  'k'.repeat(4_096),
];
const inner = [
  '',
  'x',
  '\0',
  '\xff',
  '\xff\xff\xff\xff',
  '\xc3\x28',
  'tenants/a/',
  'k'.repeat(4_096),
];
/** Where a tenant may read and write, and a key that it may read only. */
const own = ['tenants/a/', 'tenants/a0'] as const;
const terms = '.etcd-recipes/tenants/terms/a';
const rights = { read: [own, [terms, `${terms}\0`]], write: [own] } as const;

it(`etcd itself keeps a tenant inside, whatever it sends: ${operations} operations, seed ${seed}`, {
  timeout: 180_000 + operations * 60,
}, async () => {
  const root = { name: 'root', password: 'secret' };
  const [endpoint, twin] = [
    await etcd.startOwn({ auth: { password: root.password } }),
    await etcd.startOwn(),
  ];
  const admin = await etcd.connect({
    endpoints: [endpoint],
    auth: { user: root.name, password: root.password },
  });
  const { isolation } = secured;
  const { auth } = await admin.tenants.create('a', { isolation });
  for (const name of ['a.b', 'b']) await admin.tenants.create(name, { isolation });
  await admin.close();

  const [ours, theirs] = [
    [1n, 2n, 3n],
    [11n, 12n, 13n],
  ];
  const random = randomFrom(seed);
  const { user = '', password = '' } = auth ?? {};
  const intruder = new Intruder(random, {
    walls,
    inner: [...inner.map((key) => `tenants/a/${key}`), terms],
    ours,
    leases: [...ours, ...theirs],
    user,
    hasGaps: isolation === 'best-effort',
  });
  const trial = new Trial(endpoint, twin, { user, password, rights }, intruder);
  etcd.defer(() => trial.close());
  await trial.begin(root);
  const others = new Others(random, trial, walls, theirs);
  for (const key of walls) await others.put(key);
  for (let turn = 0; turn < operations; turn += 1) {
    if (turn % 8 === 0) await others.step();
    await trial.attempt();
    if (turn % 100 === 99) await trial.check();
    if (turn % 500 === 499) await trial.compact(await others.put('wall'));
  }
  await trial.end();
  const { answered, denied, malformed } = trial.counts;
  expect(answered + denied + malformed).toBe(operations);
  for (const count of [answered, denied]) expect(count).toBeGreaterThan(operations / 5);
});

const url = 'http://127.0.0.1:1';
/** Calls for operators, and what is sent; some of them the etcd in process refuses to everybody. */
const operators = {
  'Cluster.MemberAdd': `\x0a\x12${url}`,
  'Cluster.MemberRemove': '\x08\x01',
  'Cluster.MemberUpdate': `\x08\x01\x12\x12${url}`,
  'Cluster.MemberPromote': '\x08\x01',
  'Maintenance.Defragment': '',
  'Maintenance.Hash': '',
  'Maintenance.HashKV': '',
  'Maintenance.Snapshot': '',
  'Maintenance.MoveLeader': '',
  'Maintenance.Downgrade': '',
};

// Releases with known gaps check neither leases nor alarms.
it.skipIf(secured.isolation === 'best-effort')(
  'what a tenant may call besides tells it of members and revisions, and of others only that they have leases',
  async () => {
    const admin = await secured.connect();
    const name = etcd.name();
    const { auth } = await admin.tenants.create(name);
    const [foreign, empty] = [0x7e4a49n, 0x7e4a4an];
    for (const lease of [foreign, empty]) await admin.store.grant(lease, 600_000);
    await admin.client.put(`foreign-${name}`, 'wall', { lease: foreign });
    const raw = new RawClient(secured.endpoint);
    etcd.defer(() => raw.close());
    const { user = '', password = '' } = auth ?? {};
    const { token } = await raw.call('Auth.Authenticate', { name: user, password });
    const outcome = (call: Promise<unknown>): Promise<string> =>
      call.then(
        () => 'done',
        (error: Error) => error.message,
      );

    const calls = forbidden(user).map(
      ({ does, request }): Call => [does, () => raw.call(does as 'KV.Compact', request, token)],
    );
    const bare = Object.entries(operators).map(
      ([does, message]): Call => [does, () => raw.callBytes(does, Buffer.from(message), token)],
    );
    const leases: Call[] = [
      ['put', () => raw.call('KV.Put', { key: `tenants/${name}/x`, lease: foreign }, token)],
      ['revoke', () => raw.call('Lease.LeaseRevoke', { id: foreign }, token)],
      ['keys', () => raw.call('Lease.LeaseTimeToLive', { id: foreign, keys: true }, token)],
      ['list', () => raw.call('Lease.LeaseLeases', {}, token)],
    ];
    for (const [does, call] of [...calls, ...bare, ...leases]) {
      expect(`${does}: ${await outcome(call())}`).toMatch(
        /permission denied|the in-process etcd does not have/,
      );
    }
    // Without a key to ask for, a lease does not tell.
    const stream = raw.open('Lease.LeaseKeepAlive', token);
    const renewed = new Promise((resolve, reject) => stream.listen(resolve, reject));
    stream.send({ id: foreign });
    await expect(renewed).rejects.toThrow(/permission denied/);

    const open = [
      'Maintenance.Status',
      'Maintenance.Alarm',
      'Cluster.MemberList',
      'Auth.AuthStatus',
    ];
    for (const does of open) await raw.callBytes(does, undefined, token);
    expect((await raw.call('Auth.UserGet', { name: user }, token)).names).toEqual([user]);
    const { permissions } = await raw.call('Auth.RoleGet', { name: user }, token);
    expect(permissions.map(({ key }) => key)).toEqual([
      `.etcd-recipes/tenants/terms/${name}`,
      `tenants/${name}/`,
    ]);
    const { ttl } = await raw.call('Lease.LeaseTimeToLive', { id: foreign }, token);
    expect(ttl).toBeGreaterThan(0);
    const again = raw.call('Lease.LeaseGrant', { id: foreign, ttl: 600 }, token);
    await expect(again).rejects.toThrow(/lease already exists/);
    await raw.call('Lease.LeaseRevoke', { id: empty }, token);
    expect((await admin.client.get(`foreign-${name}`))?.lease).toBe(foreign);
    await admin.store.revoke(foreign);
  },
);

type Call = readonly [does: string, call: () => Promise<unknown>];
