import { randomBytes, scryptSync, timingSafeEqual } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { EtcdError } from '../errors.js';
import type { Bytes } from '../wire/fields.js';

/** Bytes; what etcd hashes with takes no more. */
const LONGEST = 72;

/** Cheap, as with etcd at its lowest cost: one event loop serves everybody, and what is kept here ends with the process. */
const COST = { N: 1024 };

/** A password that cannot be read any more. */
export interface HashedPassword {
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/** @throws EtcdError if etcd could not hash the password */
export function checkPassword(password: Bytes): void {
  if (password.length > LONGEST) {
    throw new EtcdError(status.UNKNOWN, `bcrypt: password length exceeds ${LONGEST} bytes`);
  }
}

/** Makes a password unreadable. */
export function hashPassword(password: Bytes): HashedPassword {
  const salt = randomBytes(16);
  return { salt, hash: hashWith(salt, password) };
}

/** Whether this is the password that was hashed. */
export function isPassword({ salt, hash }: HashedPassword, password: Bytes): boolean {
  return timingSafeEqual(hash, hashWith(salt, password));
}

function hashWith(salt: Buffer, password: Bytes): Buffer {
  return scryptSync(Buffer.from(password, 'latin1'), salt, 32, COST);
}
