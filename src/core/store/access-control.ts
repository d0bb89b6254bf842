import type { KeyRange } from './keys.js';
import type { CallOptions } from './store.js';

/** What a role may do in a range of keys. */
export interface Permission extends KeyRange {
  readonly may: 'read' | 'write' | 'readwrite';
}

/**
 * The users and roles of etcd. Each call can be repeated: what is there already as it was asked for, or gone already, is no error.
 * Calls reject with `UnavailableError` when no endpoint answers, and with `RefusedError` when etcd says no: it takes a user with
 * the role `root` where authentication is on.
 */
export interface AccessControl {
  /** Whether etcd asks everybody who they are. */
  isEnabled(options?: CallOptions): Promise<boolean>;
  hasUser(user: string, options?: CallOptions): Promise<boolean>;
  hasRole(role: string, options?: CallOptions): Promise<boolean>;
  /** Adds a role that may do nothing. One that is there keeps what it may do. */
  addRole(role: string, options?: CallOptions): Promise<void>;
  grantPermission(role: string, permission: Permission, options?: CallOptions): Promise<void>;
  /** Deletes a role, and takes it from all who have it. */
  deleteRole(role: string, options?: CallOptions): Promise<void>;
  /** Adds a user with this password. One that is there gets it. */
  addUser(user: string, password: string, options?: CallOptions): Promise<void>;
  /** Changes a user's password. Tokens that were given for the one before are refused from then on. */
  setPassword(user: string, password: string, options?: CallOptions): Promise<void>;
  grantRole(user: string, role: string, options?: CallOptions): Promise<void>;
  revokeRole(user: string, role: string, options?: CallOptions): Promise<void>;
  /** Deletes a user, and has his tokens refused. */
  deleteUser(user: string, options?: CallOptions): Promise<void>;
}
