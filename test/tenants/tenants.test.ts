import { expect, inject, it } from 'vitest';
import type { AccessControl } from '../../src/core/store/access-control.js';
import { ConflictError, type Coordinator } from '../../src/index.js';
import { type TenantAction, Tenants } from '../../src/tenants/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { useEtcd } from '../support/etcd.js';
import { override } from '../support/override.js';
import { dying } from './support/dying.js';
import { useSecured } from './support/secured.js';

const etcd = useEtcd();
const secured = useSecured(etcd);

/** A name of a tenant that goes after the test. */
function nameOn(admin: Coordinator): string {
  const name = etcd.name();
  const { tenants } = admin;
  etcd.defer(() => tenants.delete(name).catch(() => {}));
  return name;
}

const denied = /permission denied/;
const isolation = (): { isolation: 'server' | 'best-effort' } => ({ isolation: secured.isolation });

it('lets a tenant do everything inside, keeps it out while it is suspended, and forgets its password when it gets another', async () => {
  const admin = await secured.connect();
  const { tenants } = admin;
  const name = nameOn(admin);
  const created = await tenants.create(name, { ...isolation(), quota: { keys: 50 } });
  expect(created).toMatchObject({ prefix: `tenants/${name}/`, auth: { user: `tenant-${name}` } });
  await expect(tenants.create(name, isolation())).rejects.toThrow(/exists already/);

  const ours = await secured.connect(created.auth);
  const acme = await ours.tenant(name);
  await (await acme.mutex('m').acquire()).release();
  await acme.counter('c').add(1n);
  // What it may have is told, but not left to it.
  const terms = `.etcd-recipes/tenants/terms/${name}`;
  await expect(ours.client.put(terms, '{}')).rejects.toThrow(denied);
  await expect(ours.client.get(`.etcd-recipes/tenants/records/${name}`)).rejects.toThrow(denied);
  await expect(ours.tenant(nameOn(admin))).rejects.toThrow(denied);
  await expect(ours.tenants.rotate(name)).rejects.toThrow(denied);

  await tenants.suspend(name, { reason: 'unpaid' });
  await expect(ours.store.read({ key: `tenants/${name}/x` })).rejects.toThrow(denied);
  await expect(acme.counter('c').add(1n)).rejects.toThrow(denied);
  await expect(admin.tenant(name)).rejects.toThrow(/suspended/);
  await tenants.resume(name);
  expect(await acme.counter('c').add(1n)).toBe(2n);

  const rotated = await tenants.rotate(name);
  expect(rotated.auth?.password).not.toBe(created.auth?.password);
  await expect(acme.counter('c').get()).rejects.toThrow(/authentication failed/);
  const again = await (await secured.connect(rotated.auth)).tenant(name);
  expect(await again.counter('c').get()).toBe(2n);

  expect(await tenants.get(name)).toMatchObject({
    state: 'active',
    quota: { keys: 50 },
  });
  expect(await tenants.delete(name)).toBeGreaterThan(0);
  expect(await tenants.get(name)).toBe(undefined);
  await expect(again.counter('c').get()).rejects.toThrow(/auth|denied/);
  expect(await admin.store.access?.hasRole(`tenant-${name}`)).toBe(false);
  const audit = await tenants.audit(name);
  expect(audit.map(({ action }) => action)).toEqual([
    'create',
    'suspend',
    'resume',
    'rotate',
    'delete',
  ]);
  expect(audit[1]).toMatchObject({ reason: 'unpaid', by: { pid: process.pid } });
});

const actions = {
  create: (tenants, name) => tenants.create(name, isolation()),
  rotate: (tenants, name) => tenants.rotate(name),
  suspend: (tenants, name) => tenants.suspend(name),
  resume: (tenants, name) => tenants.resume(name),
  quota: (tenants, name) => tenants.setQuota(name, { keys: 1 }),
  delete: (tenants, name) => tenants.delete(name),
} satisfies Partial<Record<TenantAction, (tenants: Tenants, name: string) => Promise<unknown>>>;

it
  .skipIf(inject('engine') === 'etcd')
  .each(
    (['before', 'after'] as const).flatMap((when) =>
      (Object.keys(actions) as TenantAction[]).map((action) => ({ action, when })),
    ),
  )(
  'comes to its end when it is done again after its admin died $when any request of $action',
  async ({ action, when }) => {
    const admin = await secured.connect();
    const { access } = admin.store as { access: AccessControl };
    for (let at = 1; at < 40; at += 1) {
      const name = nameOn(admin);
      const user = `tenant-${name}`;
      if (action !== 'create') await admin.tenants.create(name, isolation());
      if (action === 'resume') await admin.tenants.suspend(name);
      const mortal = dying(admin.store, at, when);
      const half = new Tenants(admin.session.over(mortal.store));
      const isDone = await actions[action](half, name).then(
        () => true,
        () => false,
      );
      if (isDone && mortal.calls() < at) return;
      const left = await admin.tenants.get(name);
      // Of what was begun and not ended, nobody is in doubt.
      const wasBegun = left?.unfinished !== undefined;
      const other = action === 'resume' ? 'quota' : 'resume';
      const error = wasBegun && (await rejection(actions[other](admin.tenants, name)));
      expect(error instanceof ConflictError).toBe(wasBegun);
      const isOver = (await admin.tenants.audit(name)).some((event) => event.action === action);
      expect(wasBegun && isOver).toBe(false);
      if (isOver && action === 'create') await admin.tenants.rotate(name);
      else if (!isOver) await actions[action](admin.tenants, name);
      const record = await admin.tenants.get(name);
      expect(record?.unfinished).toBe(undefined);
      const state = { suspend: 'suspended', delete: undefined }[action as string];
      expect(record?.state).toBe(action in { suspend: 0, delete: 0 } ? state : 'active');
      expect(await access.hasUser(user)).toBe(action !== 'delete');
      expect(await access.hasRole(user)).toBe(!(action in { suspend: 0, delete: 0 }));
      const told = (await admin.tenants.audit(name)).filter((event) => event.action === action);
      expect(told.map(({ interrupted }) => interrupted)).toEqual(
        wasBegun ? [true, false] : [false],
      );
    }
    expect.unreachable('it never ends');
  },
);

it('tells of what was interrupted also when something else was done then', async () => {
  const admin = await secured.connect();
  const name = nameOn(admin);
  await admin.tenants.create(name, isolation());
  // Claims the tenant, and says what is begun.
  const { store } = dying(admin.store, 3, 'after');
  const tenants = new Tenants(admin.session.over(store));
  await expect(tenants.rotate(name, { reason: 'leaked' })).rejects.toThrow(/no answer/);
  await admin.tenants.suspend(name);
  const audit = await admin.tenants.audit(name);
  expect(audit.map(({ action, reason, interrupted }) => [action, reason, interrupted])).toEqual([
    ['create', undefined, false],
    ['rotate', 'leaked', true],
    ['suspend', undefined, false],
  ]);
});

it('is changed by one at a time, who does not stand in the way when he is gone', async () => {
  const [one, two] = [await secured.connect(), await secured.connect()];
  const name = nameOn(one);
  const both = await Promise.allSettled(
    [one, two].map(({ tenants }) => tenants.create(name, isolation())),
  );
  expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  const claim = `.etcd-recipes/tenants/claims/${name}`;
  await two.client.put(claim, '{}', { lease: two.session.id });
  await expect(one.tenants.suspend(name)).rejects.toThrow(/is being changed/);
  // One that we could not give back is not in our way.
  await two.tenants.suspend(name);
  await two.client.put(claim, '{}', { lease: two.session.id });
  await two.close();
  await one.tenants.suspend(name);
  expect(await one.tenants.get(name)).toMatchObject({ state: 'suspended' });
});

it('takes over no user of somebody else, and no release that lets users out', async () => {
  const admin = await secured.connect();
  const name = nameOn(admin);
  await admin.store.access?.addUser(`tenant-${name}`, 'secret');
  await expect(admin.tenants.create(name, isolation())).rejects.toThrow(/has a user tenant-/);
  await admin.store.access?.deleteUser(`tenant-${name}`);
  const { authentication, gaps } = await admin.tenants.status();
  expect(authentication).toBe(true);
  expect(gaps).toHaveLength(secured.isolation === 'server' ? 0 : 1);
  const [created] = await Promise.allSettled([admin.tenants.create(name)]);
  const refusal = { reason: { message: expect.stringMatching(/get around the permissions/) } };
  expect(created).toMatchObject(gaps.length === 0 ? { status: 'fulfilled' } : refusal);
});

it('refuses where etcd asks nobody who they are, and says what to do', async () => {
  const open = await etcd.connect();
  const create = open.tenants.create(etcd.name());
  await expect(create).rejects.toThrow(/etcdctl auth enable.*isolation: 'prefix'/);
  expect(await open.tenants.status()).toMatchObject({ authentication: false });
  expect(() => open.namespace('x/').tenants).toThrow(/outside of namespaces/);
});

it.each([
  ['3.4.44', true],
  ['3.5.34', true],
  ['3.6.13', true],
  ['3.6.14', false],
  ['3.7.0', true],
  ['3.7.1', false],
  ['3.8.0', false],
])('knows whether %s lets users out: %s', async (version, hasGaps) => {
  const status = {
    version,
    memberId: 1n,
    leader: 1n,
    isLearner: false,
    revision: 1n,
    raftTerm: 1n,
    dbSize: 0,
    dbSizeInUse: 0,
    alarms: [],
  };
  const health = async () => [{ endpoint: 'test', healthy: true, status }];
  const { tenants } = await etcd.connect({}, (store) => override(store, { health }));
  expect((await tenants.status()).gaps.map((gap) => gap.version)).toEqual(hasGaps ? [version] : []);
});
