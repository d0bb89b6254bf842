import { ArgumentError } from '../core/errors.js';

/** The longest time that Node's timers can count. */
const max = 2 ** 31 - 1;

/** Makes a reader of a duration on the command line. The reader throws an `ArgumentError`. */
export function milliseconds(option: string, min = 0): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new ArgumentError(option, `a whole number of milliseconds from ${min} to ${max}`, text);
  };
}
