import { ArgumentError } from './store/errors.js';

/** The longest time that Node's timers can count: almost 25 days. */
export const longest: number = 2 ** 31 - 1;

/** Passes a duration or throws. @throws ArgumentError unless it is a number of milliseconds from `min` to `max`: as long as a timer can wait. */
export function milliseconds(
  option: string,
  value: number,
  min = 0,
  max: number = longest,
): number {
  if (!(typeof value === 'number' && value >= min && value <= max)) {
    throw new ArgumentError(option, `a number of milliseconds from ${min} to ${max}`, value);
  }
  return value;
}

/** Half a character: texts that differ in such halves only have the same bytes. */
const half = /\p{Surrogate}/u;

/** Passes a text or throws. @throws ArgumentError unless it is a string of at least one character, all of them whole. */
export function nonEmpty(option: string, value: string): string {
  if (typeof value !== 'string' || value === '') {
    throw new ArgumentError(option, 'a non-empty string', value);
  }
  if (half.test(value)) throw new ArgumentError(option, 'well-formed Unicode', value);
  return value;
}

/** Passes a whole number from `min` on or throws. @throws ArgumentError unless it is one. */
export function wholeFrom(min: number, option: string, value: number): number {
  if (!(Number.isSafeInteger(value) && value >= min)) {
    throw new ArgumentError(option, `a whole number from ${min}`, value);
  }
  return value;
}

/** Passes a flag or throws. @throws ArgumentError unless it is `true` or `false`. */
export function flag(option: string, value: boolean): boolean {
  if (typeof value !== 'boolean') throw new ArgumentError(option, 'a boolean', value);
  return value;
}

/** Passes one of several texts or throws. @throws ArgumentError unless it is one of those. */
export function oneOf<Text extends string>(
  option: string,
  value: Text,
  texts: readonly Text[],
): Text {
  if (!texts.includes(value)) {
    throw new ArgumentError(option, `one of '${texts.join("', '")}'`, value);
  }
  return value;
}

/** Passes options that belong together or throws. @throws ArgumentError unless it is an object. */
export function settings<Settings extends object>(option: string, value: Settings): Settings {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ArgumentError(option, 'an object', value);
  }
  return value;
}

/** Passes what ends a call, if anything does, or throws. @throws ArgumentError unless it is an `AbortSignal`, of whatever realm. */
export function ending(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal !== undefined && typeof signal?.throwIfAborted !== 'function') {
    throw new ArgumentError('signal', 'an AbortSignal', signal);
  }
  return signal;
}

const largest = 2n ** 63n - 1n;

/** Passes a revision, version or lease or throws. @throws ArgumentError unless etcd can have it. */
export function checkNumber(option: string, value: bigint, min = 0n): bigint {
  if (!(typeof value === 'bigint' && value >= min && value <= largest)) {
    throw new ArgumentError(option, `a bigint from ${min} to 2^63 - 1`, value);
  }
  return value;
}

/** Refuses what is no lease: etcd would choose another ID for 0, or another time. @throws ArgumentError that names what is wrong. */
export function checkGrant(lease: bigint, ttl: number): void {
  checkNumber('lease', lease, 1n);
  // etcd itself says how long is too long.
  milliseconds('ttl', ttl, 1, Number.MAX_SAFE_INTEGER);
}
