import { randomBytes } from 'node:crypto';
import type { AccessControl } from '../core/store/access-control.js';
import { prefixRange } from '../core/store/keys.js';
import type { CallOptions } from '../core/store/store.js';
import { only, type TenantKeys } from './tenant-keys.js';

/** Makes role and user anew, so that what an interrupted attempt left is of no use; gives how he gets in. */
export async function admit(
  access: AccessControl,
  keys: TenantKeys,
  options: CallOptions,
): Promise<{ readonly user: string; readonly password: string }> {
  const { user } = keys;
  const password = newPassword();
  await access.deleteUser(user, options);
  await access.deleteRole(user, options);
  await letIn(access, keys, options, password);
  return { user, password };
}

/** Has the tenant's user be let in, with this password if there is one, whatever became of his role; in the last step only. */
export async function letIn(
  access: AccessControl,
  { user, prefix, terms }: TenantKeys,
  options: CallOptions,
  password?: string,
): Promise<void> {
  await access.addRole(user, options);
  await access.grantPermission(user, { ...prefixRange(prefix), may: 'readwrite' }, options);
  await access.grantPermission(user, { ...only(terms), may: 'read' }, options);
  if (password !== undefined) await access.addUser(user, password, options);
  await access.grantRole(user, user, options);
}

/** Whether etcd has a user or role of the tenant's name. */
export async function nameInUse(
  access: AccessControl,
  { user }: TenantKeys,
  options: CallOptions,
): Promise<'user' | 'role' | undefined> {
  if (await access.hasUser(user, options)) return 'user';
  return (await access.hasRole(user, options)) ? 'role' : undefined;
}

/** A password of 192 random bits. */
export function newPassword(): string {
  return randomBytes(24).toString('base64url');
}
