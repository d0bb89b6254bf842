import { refusal } from '../errors.js';
import type { Bytes } from '../wire/fields.js';
import type { Access } from './access.js';
import type { AuthStore, Right } from './auth-store.js';

/** Who sends a request, or opened the stream that it comes on. */
export class Caller implements Access {
  readonly #auth: AuthStore;
  readonly #token: string | undefined;
  readonly #checkSize: () => void;

  /** @param checkSize - objects to a request that is too large for consensus */
  constructor(auth: AuthStore, token: string | undefined, checkSize: () => void = () => {}) {
    this.#auth = auth;
    this.#token = token;
    this.#checkSize = checkSize;
  }

  /** The name of the user; `''` for nobody, and while authentication is off. @throws EtcdError if the token is not valid */
  get user(): Bytes {
    if (!this.#auth.enabled || this.#token === undefined) return '';
    return this.#auth.userOf(this.#token);
  }

  identify(): void {
    void this.user;
  }

  propose(): void {
    this.identify();
    this.#checkSize();
  }

  requireUser(): void {
    if (this.#auth.enabled && this.user === '') throw refusal('userEmpty');
  }

  requireAdmin(): void {
    this.requireUser();
    if (this.#auth.enabled && !this.#auth.isAdmin(this.user)) throw refusal('permissionDenied');
  }

  read(key: Bytes, rangeEnd: Bytes): void {
    this.#require('read', key, rangeEnd);
  }

  write(key: Bytes, rangeEnd: Bytes): void {
    this.#require('write', key, rangeEnd);
  }

  #require(right: Right, key: Bytes, rangeEnd: Bytes): void {
    this.requireUser();
    if (this.#auth.enabled && !this.#auth.permits(this.user, right, key, rangeEnd)) {
      throw refusal('permissionDenied');
    }
  }
}
