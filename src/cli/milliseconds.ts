import { ArgumentError } from '../core/errors.js';
import { longest } from '../core/validate.js';

/** Makes a reader of a duration on the command line. The reader throws an `ArgumentError`. */
export function milliseconds(option: string, min = 0): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= longest) return value;
    throw new ArgumentError(
      option,
      `a whole number of milliseconds from ${min} to ${longest}`,
      text,
    );
  };
}
