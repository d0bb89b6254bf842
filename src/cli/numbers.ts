import { ArgumentError } from '../core/store/errors.js';
import { longest } from '../core/validate.js';

/** Makes a reader of a duration on the command line. The reader throws an `ArgumentError`. */
export function milliseconds(option: string, min = 0): (text: string) => number {
  return reader(option, 'whole number of milliseconds', min, longest);
}

/** Makes a reader of a number on the command line. The reader throws an `ArgumentError`. */
export function whole(option: string, min: number, max: number): (text: string) => number {
  return reader(option, 'whole number', min, max);
}

/** Makes a reader of any number on the command line. The reader throws an `ArgumentError`. */
export function number(option: string): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (Number.isFinite(value)) return value;
    throw new ArgumentError(option, 'a number', text);
  };
}

function reader(option: string, what: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new ArgumentError(option, `a ${what} from ${min} to ${max}`, text);
  };
}
