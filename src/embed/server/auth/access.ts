import type { Bytes } from '../wire/fields.js';

/** What the caller of a request may do. Each method throws an `EtcdError` where that is not allowed. */
export interface Access {
  /** Objects to a token that is not valid. */
  identify(): void;
  /** As `identify`, and objects to a request that is too large to go through consensus. */
  propose(): void;
  /** Objects to callers who did not say who they are. */
  requireUser(): void;
  /** Objects to all who do not have the role `root`. */
  requireAdmin(): void;
  /** Objects to a read of the keys that `key` and `rangeEnd` name. */
  read(key: Bytes, rangeEnd: Bytes): void;
  /** Objects to a write of these keys. */
  write(key: Bytes, rangeEnd: Bytes): void;
}

const allow = (): void => {};

/** Of callers who may do everything. */
export const unrestricted: Access = {
  identify: allow,
  propose: allow,
  requireUser: allow,
  requireAdmin: allow,
  read: allow,
  write: allow,
};
