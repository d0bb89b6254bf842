import { ArgumentError, LimitError } from '../core/store/errors.js';

/** What a handler says, as JSON; nothing for `undefined`. @throws ArgumentError, LimitError */
export function encodeResult(value: unknown, maxBytes: number, option = 'result'): Buffer {
  const encoded = Buffer.from(textOf(value, option));
  if (encoded.length > maxBytes) {
    throw new LimitError(`the ${option} of a job`, 'maxBytes', encoded.length, maxBytes);
  }
  return encoded;
}

function textOf(value: unknown, option: string): string {
  if (value === undefined) return '';
  try {
    const text: string | undefined = JSON.stringify(value);
    if (text !== undefined) return text;
  } catch {
    // Such as an object that contains itself.
  }
  throw new ArgumentError(option, 'something that JSON can express', value);
}
