import fc, { type Arbitrary } from 'fast-check';
import type { Calls } from '../support/raw-client.js';
import { deletion, grant, key, lease, put, range, span, streamed, txn } from './arbitraries.js';
import { flag, merged, weighted } from './choices.js';
import type { Template } from './operations.js';

/** One thing that somebody does to both etcds: a user who logged in, nobody, or who has a token from elsewhere. */
export type AuthOperation = { readonly as?: string | undefined } & (
  | { readonly does: keyof Calls; readonly request: Template }
  | { readonly does: 'range stream'; readonly request: Template }
  | { readonly does: 'keep alive'; readonly id: unknown }
  /** On a stream that is opened by whoever uses it first. */
  | { readonly does: 'watch'; readonly stream: number; readonly request: Template }
);

const { constant, constantFrom, record } = fc;

/** Passwords of `root`, by which order is restored; of others also none, and one that is too long. */
export const ROOT_PASSWORDS: readonly string[] = ['x', 'y'];
const PASSWORDS = ['x', 'y', '', 'p'.repeat(72), 'p'.repeat(73)];
const USERS = ['u', 'v', 'w'];
const ROLES = ['r', 's', 't'];

const user = weighted([12, constantFrom(...USERS)], [3, constant('root')], [1, constant('none')]);
const role = weighted([12, constantFrom(...ROLES)], [3, constant('root')], [1, constant('none')]);
const named = (names: Arbitrary<string>): Arbitrary<Template> =>
  record({ name: weighted([10, names], [1, constant('')]) });

/**
 * Tokens that nobody was given. One with a number of the future is left out: etcd does not refuse it before the caller
 * loses patience.
 */
const INVALID = ['x', 'x.y', '.', 'aaaaaaaaaaaaaaaa.1', 'a.1.1', ''];
const caller = weighted<string | undefined>(
  [30, constantFrom(...USERS)],
  [6, constant('root')],
  [3, constant(undefined)],
  [2, constantFrom(...INVALID)],
);
const manager = weighted<string | undefined>([5, constant('root')], [1, caller]);

/**
 * Whether etcd lets a user read from a key to one before it depends on the shape of the tree that it keeps ranges in;
 * there is nothing in between.
 */
function withoutInverted<T>(template: T): T {
  if (Array.isArray(template)) return template.map(withoutInverted) as T;
  if (typeof template !== 'object' || template === null) return template;
  const { key: low = '', rangeEnd: high = '\0' } = template as Record<string, string | undefined>;
  const entries = Object.entries(template)
    .filter(([field]) => field !== 'rangeEnd' || high === '\0' || high >= low)
    .map(([field, inner]) => [field, withoutInverted(inner)]);
  return Object.fromEntries(entries) as T;
}

/** Ranges that begin and end where others do, so that some are made of several. */
const stretch: Arbitrary<Template> = constantFrom(
  ...['a', 'aa', 'b', 'c', 'c\0', '\0'].flatMap((rangeEnd, at, ends) =>
    ends.slice(0, at).map((low) => ({ key: low, rangeEnd })),
  ),
);
const keys = weighted<Template>([3, stretch], [2, span]);
const permission = merged(record({ type: constantFrom(0, 1, 2, 2) }), keys);
const rolePermission = record({
  role,
  permission: weighted<unknown>([30, permission], [1, constant(undefined)]),
});

/** Whoever may be `root` can always log in again. */
const credentials = weighted<Template>(
  [4, record({ name: constantFrom(...USERS, 'none'), password: constantFrom(...PASSWORDS) })],
  [1, record({ name: constant('root'), password: constantFrom(...ROOT_PASSWORDS) })],
);
const login = record({
  name: user,
  password: weighted([8, constant('x')], [1, constantFrom('y', '', 'p'.repeat(72))]),
});
const addition = weighted<Template>(
  [4, credentials],
  [
    1,
    record({
      name: constantFrom(...USERS, 'none', ''),
      options: record({ noPassword: flag(2) }),
    }),
  ],
);

const by = (
  as: Arbitrary<string | undefined>,
  does: AuthOperation['does'],
  request: Arbitrary<Template>,
): Arbitrary<AuthOperation> =>
  record({ as, does: constant(does), request }) as Arbitrary<AuthOperation>;

const nothing = constant<Template>({});
const userRole = record({ user, role });

const management: Arbitrary<AuthOperation> = weighted<AuthOperation>(
  [8, by(manager, 'Auth.RoleGrantPermission', rolePermission)],
  [5, by(manager, 'Auth.RoleRevokePermission', merged(record({ role }), keys))],
  [5, by(manager, 'Auth.UserGrantRole', userRole)],
  [4, by(manager, 'Auth.UserRevokeRole', userRole)],
  [3, by(manager, 'Auth.UserAdd', addition)],
  [2, by(manager, 'Auth.UserDelete', named(user))],
  [3, by(manager, 'Auth.UserChangePassword', credentials)],
  [3, by(manager, 'Auth.RoleAdd', named(role))],
  [2, by(manager, 'Auth.RoleDelete', named(role))],
  [5, by(caller, 'Auth.UserGet', named(user))],
  [5, by(caller, 'Auth.RoleGet', named(role))],
  [2, by(manager, 'Auth.UserList', nothing)],
  [2, by(manager, 'Auth.RoleList', nothing)],
  [2, by(caller, 'Auth.AuthStatus', nothing)],
  [2, by(manager, 'Auth.AuthEnable', nothing)],
  [1, by(manager, 'Auth.AuthDisable', nothing)],
  [14, by(caller, 'Auth.Authenticate', login)],
);

/** No events: they are told as to everybody. */
const watch = merged(
  keys,
  record({
    startRevision: weighted<unknown>(
      [6, constant({ at: 'now', plus: 1000 })],
      [1, constant({ at: 'zero', plus: -1 })],
    ),
  }),
);

/** Under a lease that others may have given keys to. */
const leased = record({ key, lease: constantFrom(1n, 1n, 2n), prevKv: flag(4) });

const large = { key: 'a', value: { repeat: 'v', times: 1_600_000 } };

const use: Arbitrary<AuthOperation> = weighted<AuthOperation>(
  [9, by(caller, 'KV.Put', put)],
  [5, by(caller, 'KV.Put', leased)],
  [8, by(caller, 'KV.Range', stretch)],
  [6, by(caller, 'KV.Range', range)],
  [2, by(caller, 'range stream', streamed)],
  [4, by(caller, 'KV.DeleteRange', deletion)],
  [3, by(caller, 'KV.DeleteRange', stretch)],
  [12, by(caller, 'KV.Txn', txn(2))],
  [1, by(caller, 'KV.Compact', record({ revision: constant(Number.MAX_SAFE_INTEGER) }))],
  [5, by(caller, 'Lease.LeaseGrant', grant)],
  [4, by(caller, 'Lease.LeaseRevoke', record({ id: lease }))],
  [4, by(caller, 'Lease.LeaseTimeToLive', record({ id: lease, keys: flag(2) }))],
  [2, by(caller, 'Lease.LeaseLeases', nothing)],
  [2, by(caller, 'Maintenance.Alarm', record({ action: constantFrom(0, 2) }))],
  [4, record({ as: caller, does: constant('keep alive' as const), id: lease })],
  [
    6,
    record({
      as: caller,
      does: constant('watch' as const),
      stream: fc.nat({ max: 2 }),
      request: watch,
    }),
  ],
  [1, by(caller, 'KV.Put', constant(large))],
);

/** Somebody for everything, as there is where authentication is about to be enabled. */
const scene: Arbitrary<AuthOperation[]> = record({
  permissions: fc.array(fc.tuple(constantFrom(...ROLES), permission), { maxLength: 9 }),
  grants: fc.array(fc.tuple(constantFrom(...USERS), constantFrom(...ROLES)), { maxLength: 6 }),
  underLease: fc.array(key, { maxLength: 3 }),
  rootless: flag(10),
}).map(({ permissions, grants, underLease, rootless }) => {
  const steps: AuthOperation[] = [];
  const add = (does: keyof Calls, request: Template): void => void steps.push({ does, request });
  const everybody = ['root', ...USERS];
  for (const one of everybody) add('Auth.UserAdd', { name: one, password: 'x' });
  add('Auth.UserAdd', { name: 'none', options: { noPassword: true } });
  for (const one of ['root', ...ROLES]) add('Auth.RoleAdd', { name: one });
  for (const [to, one] of permissions) {
    add('Auth.RoleGrantPermission', { role: to, permission: one });
  }
  for (const [who, what] of grants) add('Auth.UserGrantRole', { user: who, role: what });
  if (!rootless) add('Auth.UserGrantRole', { user: 'root', role: 'root' });
  add('Lease.LeaseGrant', { id: 1n, ttl: 1000 });
  for (const one of underLease) add('KV.Put', { key: one, lease: 1n });
  add('Auth.AuthEnable', {});
  for (const one of everybody) add('Auth.Authenticate', { name: one, password: 'x' });
  return steps;
});

/** Things that users do, while others change what they may do. */
export const authOperations: Arbitrary<AuthOperation[]> = fc
  .tuple(
    weighted([12, scene], [1, constant<AuthOperation[]>([])]),
    fc.array(weighted<AuthOperation>([3, use.map(withoutInverted)], [2, management]), {
      minLength: 1,
      maxLength: 120,
      size: 'max',
    }),
  )
  .map((parts) => parts.flat());
