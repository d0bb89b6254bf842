import { refusal } from '../errors.js';
import type { Permission } from '../wire/auth.js';
import type { Bytes } from '../wire/fields.js';

/** Roles, and what each may do. Methods that change or find something throw `EtcdError`. */
export class Roles {
  readonly #roles = new Map<Bytes, readonly Permission[]>();

  names(): Bytes[] {
    return [...this.#roles.keys()].toSorted();
  }

  permissionsOf(role: Bytes): readonly Permission[] {
    const permissions = this.#roles.get(role);
    if (!permissions) throw refusal('roleNotFound');
    return permissions;
  }

  add(name: Bytes): void {
    if (name === '') throw refusal('roleEmpty');
    if (this.#roles.has(name)) throw refusal('roleExists');
    this.#roles.set(name, []);
  }

  delete(name: Bytes): void {
    if (!this.#roles.delete(name)) throw refusal('roleNotFound');
  }

  grant(role: Bytes, permission: Permission | undefined): void {
    if (!permission) throw refusal('permissionNotGiven');
    if (!isSensible(permission)) throw refusal('invalidAuthMgmt');
    const before = this.permissionsOf(role);
    const place = before.findIndex(({ key }) => key >= permission.key);
    // As etcd has it: of several that begin with the same key, only the first can be replaced.
    const replaced = place >= 0 && isFor(before[place] as Permission, permission);
    const after = replaced
      ? before.with(place, permission)
      : [...before, permission].toSorted((a, b) => (a.key === b.key ? 0 : a.key < b.key ? -1 : 1));
    this.#roles.set(role, after);
  }

  revoke(role: Bytes, key: Bytes, rangeEnd: Bytes): void {
    const before = this.permissionsOf(role);
    const after = before.filter((permission) => !isFor(permission, { key, rangeEnd }));
    if (after.length === before.length) throw refusal('permissionNotGranted');
    this.#roles.set(role, after);
  }
}

type Span = Pick<Permission, 'key' | 'rangeEnd'>;

function isFor(permission: Span, { key, rangeEnd }: Span): boolean {
  return permission.key === key && permission.rangeEnd === rangeEnd;
}

function isSensible({ key, rangeEnd }: Span): boolean {
  return key !== '' && (rangeEnd === '' || rangeEnd === '\0' || key < rangeEnd);
}
