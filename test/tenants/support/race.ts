import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import type { AccessControl } from '../../../src/core/store/access-control.js';
import {
  ConflictError,
  type Coordinator,
  type TenantCredentials,
  Tenants,
} from '../../../src/index.js';
import { RawClient } from '../../support/raw-client.js';
import type { SecuredEtcd } from './secured.js';
import { Turns } from './turns.js';

type Act = 'create' | 'rotate' | 'suspend' | 'resume' | 'delete';
const acts: Readonly<Record<Act, (tenants: Tenants, name: string) => Promise<unknown>>> = {
  create: (tenants, name) => tenants.create(name),
  rotate: (tenants, name) => tenants.rotate(name),
  suspend: (tenants, name) => tenants.suspend(name),
  resume: (tenants, name) => tenants.resume(name),
  delete: (tenants, name) => tenants.delete(name),
};
type State = 'none' | 'active' | 'suspended';
/** What two admins do at the same time, and to what. */
export type Race = readonly [Act, Act, State];

/** What a tenant's user can do, as etcd has it. */
interface Standing {
  readonly user: boolean;
  readonly mayUse: boolean;
}

async function standingOf(secured: SecuredEtcd, name: string): Promise<Standing> {
  const raw = new RawClient(secured.endpoint);
  try {
    const { token } = await raw.call('Auth.Authenticate', { name: 'root', password: 'secret' });
    const user = `tenant-${name}`;
    const ask = async <T>(call: Promise<T>): Promise<T | undefined> => call.catch(() => undefined);
    const roles = await ask(raw.call('Auth.UserGet', { name: user }, token));
    const role = await ask(raw.call('Auth.RoleGet', { name: user }, token));
    const isGranted = roles?.names.includes(user) ?? false;
    return { user: roles !== undefined, mayUse: isGranted && role?.permissions.length === 2 };
  } finally {
    raw.close();
  }
}

/** How many of these still log a tenant in. */
async function validOf(secured: SecuredEtcd, all: readonly TenantCredentials[]): Promise<number> {
  const raw = new RawClient(secured.endpoint);
  const tries = all.map(({ auth: { user: name, password } = { user: '', password: '' } }) =>
    raw.call('Auth.Authenticate', { name, password }),
  );
  const settled = await Promise.allSettled(tries);
  raw.close();
  return settled.filter(({ status }) => status === 'fulfilled').length;
}

async function leftOf({ store }: Coordinator, name: string): Promise<number> {
  const keys = ['records', 'terms', 'claims'].map(
    (part) => `.etcd-recipes/tenants/${part}/${name}`,
  );
  const { replies } = await store.commit({ success: keys.map((key) => ({ range: { key } })) });
  const inside = await store.read({ key: `tenants/${name}/`, end: `tenants/${name}0` });
  return replies.reduce((sum, { count }) => sum + count, inside.count);
}

/** Gives whether the first admin lost the session, which he does at a turn if he is still at it. */
export async function race(
  secured: SecuredEtcd,
  [one, other, state]: Race,
  [admin, second]: readonly [Coordinator, Coordinator],
  order: readonly number[],
  lostAt?: number,
): Promise<boolean> {
  const name = `race-${randomUUID()}`;
  if (state !== 'none') {
    await admin.tenants.create(name);
    await admin.client.put(`tenants/${name}/x`, 'v');
  }
  if (state === 'suspended') await admin.tenants.suspend(name);
  const turns = new Turns();
  const first = await secured.connect();
  const did = [first, second].map(({ session }, actor) => {
    const tenants = new Tenants(session.over(turns.hold(actor, session.store)));
    return acts[actor === 0 ? one : other](tenants, name);
  });
  const ends = Promise.allSettled(did);
  let isLost = false;
  await turns.play(did, async (turn, alive) => {
    if (turn === lostAt && alive.has(0)) {
      isLost = true;
      // What he has sent may still arrive.
      await first.session.close(0);
    }
    return order[turn % order.length] ?? 0;
  });
  const failures = (await ends).flatMap((end) => (end.status === 'rejected' ? [end.reason] : []));
  for (const failure of isLost ? failures.slice(1) : failures) {
    expect(failure).toBeInstanceOf(ConflictError);
  }
  const given = (await ends).flatMap((end) =>
    end.status === 'fulfilled' && Object(end.value).prefix ? [end.value as TenantCredentials] : [],
  );
  const record = await admin.tenants.get(name);
  const { access } = admin.store as { access: AccessControl };

  // Whoever is not to be let in is not, however late anything came.
  const standing = await standingOf(secured, name);
  if (record?.state !== 'active' && !record?.unfinished) expect(standing.mayUse).toBe(false);
  if (!isLost) {
    expect(record?.unfinished).toBe(undefined);
    const isActive = record?.state === 'active';
    expect(standing).toEqual({ user: record !== undefined, mayUse: isActive });
    expect(await access.hasRole(`tenant-${name}`)).toBe(isActive);
    expect(await validOf(secured, given)).toBe(record && given.length > 0 ? 1 : 0);
  }

  // What was left is made whole, or goes.
  if (record?.state === 'creating') {
    await admin.tenants.create(name);
  } else if (record?.state === 'deleting') {
    await admin.tenants.delete(name);
  } else if (record) {
    if (record.unfinished) await acts[record.unfinished.action as Act](admin.tenants, name);
    if (record.state === 'suspended') await admin.tenants.resume(name);
    given.push(await admin.tenants.rotate(name));
    expect(await validOf(secured, given)).toBe(1);
    expect(await standingOf(secured, name)).toEqual({ user: true, mayUse: true });
  }
  if (await admin.tenants.get(name)) await admin.tenants.delete(name);
  expect(await leftOf(admin, name)).toBe(0);
  expect((await standingOf(secured, name)).mayUse).toBe(false);
  await first.close(0);
  return isLost;
}
