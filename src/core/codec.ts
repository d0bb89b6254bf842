import { type Data, toBytes } from './store/keys.js';

/** Turns values into bytes and back. `decode` may throw on bytes that it did not make. */
export interface Codec<T> {
  encode(value: T): Data;
  decode(bytes: Uint8Array): T;
}

/** Values as JSON text. */
export function json<T>(): Codec<T> {
  return {
    encode: (value) => JSON.stringify(value),
    decode: (bytes) => JSON.parse(toBytes(bytes).toString()) as T,
  };
}
