import { status } from '@grpc/grpc-js';
import type { Clock } from '../../../core/time/clock.js';
import { EtcdError, refusal } from '../errors.js';
import { intervalOf } from '../mvcc/interval.js';
import type { Permission, UserAddRequest } from '../wire/auth.js';
import type { Bytes } from '../wire/fields.js';
import { KeyRanges } from './key-ranges.js';
import { type HashedPassword, hashPassword, isPassword } from './passwords.js';
import { Roles } from './roles.js';
import { Tokens } from './tokens.js';

/** The user who must exist, and the role that may do everything. */
const ROOT = 'root';

/** What one may do with a key. */
export type Right = 'read' | 'write';

interface User {
  /** None if nobody can log in with one. */
  readonly password: HashedPassword | undefined;
  /** Whether the user was made to have no password. */
  readonly passwordless: boolean;
  /** In their order. */
  readonly roles: readonly Bytes[];
}

/** How users are told apart. */
export interface AuthOptions {
  /** Milliseconds that a token lives after its last use. */
  readonly tokenTtl: number;
}

/** etcd's users and roles, and who is logged in. Methods that change or find something throw `EtcdError`. */
export class AuthStore {
  readonly #users = new Map<Bytes, User>();
  readonly #roles = new Roles();
  readonly #tokens: Tokens;
  /** What users may do, as far as somebody asked. */
  readonly #ranges = new Map<Bytes, Readonly<Record<Right, KeyRanges>>>();
  #enabled = false;
  #revision = 1n;

  constructor(clock: Clock, { tokenTtl }: AuthOptions) {
    this.#tokens = new Tokens(clock, tokenTtl);
  }

  /** Whether callers have to say who they are. */
  get enabled(): boolean {
    return this.#enabled;
  }

  /** Counts changes. */
  get revision(): bigint {
    return this.#revision;
  }

  /** Makes the user `root`, who may do everything, and asks everybody who they are from now on. */
  setUp(password: Bytes): void {
    this.addUser({ name: ROOT, password, options: undefined });
    this.addRole(ROOT);
    this.grantRole(ROOT, ROOT);
    this.enable();
  }

  enable(): void {
    if (this.#enabled) return;
    const root = this.#users.get(ROOT);
    if (!root) throw refusal('rootUserNotExist');
    if (!root.roles.includes(ROOT)) throw refusal('rootRoleNotExist');
    this.#enabled = true;
  }

  disable(): void {
    if (!this.#enabled) return;
    this.#enabled = false;
    this.#tokens.clear();
    this.#changed();
  }

  /** Gives a token to whoever knows the password. */
  authenticate(name: Bytes, password: Bytes): string {
    if (!this.#enabled) throw refusal('authNotEnabled');
    const user = this.#users.get(name);
    if (user?.passwordless) {
      const reason = 'authentication failed, password was given for no password user';
      throw new EtcdError(status.UNKNOWN, `auth: ${reason}`);
    }
    if (!user?.password || !isPassword(user.password, password)) throw refusal('authFailed');
    return this.#tokens.assign(name);
  }

  /** The user of a token. */
  userOf(token: string): Bytes {
    const user = this.#tokens.userOf(token);
    if (user === undefined) throw refusal('invalidAuthToken');
    return user;
  }

  /** Whether a user may do everything. */
  isAdmin(user: Bytes): boolean {
    return this.hasRole(user, ROOT);
  }

  hasRole(user: Bytes, role: Bytes): boolean {
    return this.#users.get(user)?.roles.includes(role) ?? false;
  }

  /** Whether a user may do this with all the keys that `key` and `rangeEnd` name. */
  permits(user: Bytes, right: Right, key: Bytes, rangeEnd: Bytes): boolean {
    return this.isAdmin(user) || this.#rangesOf(user)[right].covers(intervalOf(key, rangeEnd));
  }

  users(): Bytes[] {
    return [...this.#users.keys()].toSorted();
  }

  rolesOf(name: Bytes): readonly Bytes[] {
    return this.#user(name).roles;
  }

  addUser({ name, password, options }: UserAddRequest): void {
    if (name === '') throw refusal('userEmpty');
    if (this.#users.has(name)) throw refusal('userExists');
    const passwordless = options?.noPassword ?? false;
    const hashed = passwordless ? undefined : hashPassword(password);
    this.#users.set(name, { password: hashed, passwordless, roles: [] });
    this.#changed();
  }

  deleteUser(name: Bytes): void {
    if (this.#enabled && name === ROOT) throw refusal('invalidAuthMgmt');
    this.#user(name);
    this.#users.delete(name);
    this.#tokens.forget(name);
    this.#changed();
  }

  /** Without a password, or for a user who was made without one, nobody can log in afterwards. */
  changePassword(name: Bytes, password: Bytes): void {
    const user = this.#user(name);
    const none = user.passwordless || password === '';
    this.#users.set(name, { ...user, password: none ? undefined : hashPassword(password) });
    this.#tokens.forget(name);
    this.#changed();
  }

  grantRole(name: Bytes, role: Bytes): void {
    const user = this.#user(name);
    // The role that may do everything need not exist.
    if (role !== ROOT) this.#roles.permissionsOf(role);
    if (user.roles.includes(role)) return;
    this.#users.set(name, { ...user, roles: [...user.roles, role].toSorted() });
    this.#changed();
  }

  revokeRole(name: Bytes, role: Bytes): void {
    if (this.#enabled && name === ROOT && role === ROOT) throw refusal('invalidAuthMgmt');
    if (!this.#user(name).roles.includes(role)) throw refusal('roleNotGranted');
    this.#takeRole(name, role);
    this.#changed();
  }

  roles(): Bytes[] {
    return this.#roles.names();
  }

  permissionsOf(role: Bytes): readonly Permission[] {
    const permissions = this.#roles.permissionsOf(role);
    return role === ROOT ? [{ type: 2, key: '', rangeEnd: '\0' }] : permissions;
  }

  addRole(name: Bytes): void {
    this.#roles.add(name);
    this.#changed();
  }

  deleteRole(name: Bytes): void {
    if (this.#enabled && name === ROOT) throw refusal('invalidAuthMgmt');
    this.#roles.delete(name);
    for (const user of this.#users.keys()) this.#takeRole(user, name);
    this.#changed();
  }

  grantPermission(role: Bytes, permission: Permission | undefined): void {
    this.#roles.grant(role, permission);
    this.#changed();
  }

  revokePermission(role: Bytes, key: Bytes, rangeEnd: Bytes): void {
    this.#roles.revoke(role, key, rangeEnd);
    this.#changed();
  }

  #user(name: Bytes): User {
    const user = this.#users.get(name);
    if (!user) throw refusal('userNotFound');
    return user;
  }

  #takeRole(name: Bytes, role: Bytes): void {
    const user = this.#user(name);
    this.#users.set(name, { ...user, roles: user.roles.filter((own) => own !== role) });
  }

  #rangesOf(user: Bytes): Readonly<Record<Right, KeyRanges>> {
    const known = this.#ranges.get(user);
    if (known) return known;
    const roles = this.#users.get(user)?.roles ?? [];
    const own = roles.flatMap((role) => this.#roles.permissionsOf(role));
    const having = (type: number): KeyRanges =>
      new KeyRanges(
        own
          .filter((permission) => permission.type === type || permission.type === 2)
          .map(({ key, rangeEnd }) => intervalOf(key, rangeEnd)),
      );
    const ranges = { read: having(0), write: having(1) };
    this.#ranges.set(user, ranges);
    return ranges;
  }

  #changed(): void {
    this.#revision += 1n;
    this.#ranges.clear();
  }
}
