import { ArgumentError } from './errors.js';

/** Passes a duration or throws. @throws ArgumentError unless it is a finite number of at least `min` milliseconds. */
export function milliseconds(option: string, value: number, min = 0): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < min) {
    throw new ArgumentError(option, `a finite number of milliseconds >= ${min}`, value);
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
