import { Codec } from './codec.js';
import { ResponseHeader } from './common.js';
import {
  type Bytes,
  bool,
  bytes,
  enumeration,
  list,
  message,
  messages,
  text,
  uint64,
} from './fields.js';

// Names are bytes here: that is how they are ordered.

export interface AuthStatusResponse {
  readonly header: ResponseHeader | undefined;
  readonly enabled: boolean;
  /** Counts changes of users and roles. */
  readonly authRevision: bigint;
}

export const AuthStatusResponse: Codec<AuthStatusResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  enabled: bool(2),
  authRevision: uint64(3),
}));

/** A user who logs in, or gets another password. */
export interface Credentials {
  readonly name: Bytes;
  readonly password: Bytes;
}

export const Credentials: Codec<Credentials> = new Codec(() => ({
  name: bytes(1),
  password: bytes(2),
}));

export interface AuthenticateResponse {
  readonly header: ResponseHeader | undefined;
  readonly token: string;
}

export const AuthenticateResponse: Codec<AuthenticateResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  token: text(2),
}));

interface UserAddOptions {
  readonly noPassword: boolean;
}

const UserAddOptions: Codec<UserAddOptions> = new Codec(() => ({ noPassword: bool(1) }));

export interface UserAddRequest extends Credentials {
  readonly options: UserAddOptions | undefined;
}

export const UserAddRequest: Codec<UserAddRequest> = new Codec(() => ({
  name: bytes(1),
  password: bytes(2),
  options: message(3, UserAddOptions),
}));

/** A user or a role that is asked for, added or deleted. */
export interface Named {
  readonly name: Bytes;
}

export const Named: Codec<Named> = new Codec(() => ({ name: bytes(1) }));

/** All users, all roles, or the roles of a user. */
export interface NamesResponse {
  readonly header: ResponseHeader | undefined;
  readonly names: readonly Bytes[];
}

export const NamesResponse: Codec<NamesResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  names: list(bytes, 2),
}));

/** A role that a user gets or loses. */
export interface UserRoleRequest {
  readonly user: Bytes;
  readonly role: Bytes;
}

export const UserRoleRequest: Codec<UserRoleRequest> = new Codec(() => ({
  user: bytes(1),
  role: bytes(2),
}));

export interface Permission {
  /** 0 to read, 1 to write, 2 both. */
  readonly type: number;
  readonly key: Bytes;
  readonly rangeEnd: Bytes;
}

export const Permission: Codec<Permission> = new Codec(() => ({
  type: enumeration(1),
  key: bytes(2),
  rangeEnd: bytes(3),
}));

export interface RoleGetResponse {
  readonly header: ResponseHeader | undefined;
  readonly permissions: readonly Permission[];
}

export const RoleGetResponse: Codec<RoleGetResponse> = new Codec(() => ({
  header: message(1, ResponseHeader),
  permissions: messages(2, Permission),
}));

export interface RoleGrantPermissionRequest {
  readonly role: Bytes;
  readonly permission: Permission | undefined;
}

export const RoleGrantPermissionRequest: Codec<RoleGrantPermissionRequest> = new Codec(() => ({
  role: bytes(1),
  permission: message(2, Permission),
}));

export interface RoleRevokePermissionRequest {
  readonly role: Bytes;
  readonly key: Bytes;
  readonly rangeEnd: Bytes;
}

export const RoleRevokePermissionRequest: Codec<RoleRevokePermissionRequest> = new Codec(() => ({
  role: bytes(1),
  key: bytes(2),
  rangeEnd: bytes(3),
}));
