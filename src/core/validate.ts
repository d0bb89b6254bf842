import { ArgumentError } from './errors.js';

/** The longest time that Node's timers can count: almost 25 days. */
export const longest: number = 2 ** 31 - 1;

/** Passes a duration or throws. @throws ArgumentError unless it is a number of milliseconds that a timer can wait for. */
export function milliseconds(option: string, value: number, min = 0): number {
  if (!(typeof value === 'number' && value >= min && value <= longest)) {
    throw new ArgumentError(option, `a number of milliseconds from ${min} to ${longest}`, value);
  }
  return value;
}

/** Passes a text or throws. @throws ArgumentError unless it is a string with at least one character. */
export function nonEmpty(option: string, value: string): string {
  if (typeof value !== 'string' || value === '') {
    throw new ArgumentError(option, 'a non-empty string', value);
  }
  return value;
}
