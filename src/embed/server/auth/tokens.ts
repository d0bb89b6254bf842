import { randomInt } from 'node:crypto';
import type { Clock } from '../../../core/time/clock.js';
import type { Bytes } from '../wire/fields.js';

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const LENGTH = 16;

interface Token {
  readonly user: Bytes;
  /** When it ends, in the clock's milliseconds. */
  deadline: number;
}

/** etcd's simple tokens: random texts that stand for a user until they were not used for some time. */
export class Tokens {
  readonly #clock: Clock;
  readonly #ttl: number;
  readonly #tokens = new Map<string, Token>();
  #count = 0;

  /** @param ttl - milliseconds */
  constructor(clock: Clock, ttl: number) {
    this.#clock = clock;
    this.#ttl = ttl;
  }

  /** Makes a token for a user. */
  assign(user: Bytes): string {
    for (const [token, { deadline }] of this.#tokens) {
      if (this.#clock.now() > deadline) this.#tokens.delete(token);
    }
    this.#count += 1;
    const letters = Array.from({ length: LENGTH }, () => LETTERS[randomInt(LETTERS.length)]);
    const token = `${letters.join('')}.${this.#count}`;
    this.#tokens.set(token, { user, deadline: this.#clock.now() + this.#ttl });
    return token;
  }

  /** Whose token it is, if it is valid; it lives on for its whole time then. */
  userOf(token: string): Bytes | undefined {
    const found = this.#tokens.get(token);
    const now = this.#clock.now();
    if (found === undefined || now > found.deadline) return undefined;
    found.deadline = now + this.#ttl;
    return found.user;
  }

  /** Ends all tokens of a user. */
  forget(user: Bytes): void {
    for (const [token, own] of this.#tokens) if (own.user === user) this.#tokens.delete(token);
  }

  /** Ends all of them. */
  clear(): void {
    this.#tokens.clear();
  }
}
