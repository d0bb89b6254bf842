import { ConflictError } from './store/errors.js';

/** The number that a key has as text; 0 where it has nothing. @throws ConflictError if it is something else */
export function wholeNumber(what: string, bytes: Uint8Array | undefined): bigint {
  const text = bytes === undefined ? '0' : Buffer.from(bytes).toString();
  if (/^-?\d+$/.test(text)) return BigInt(text);
  throw new ConflictError(`${what} has no number but ${JSON.stringify(text.slice(0, 40))}`);
}
