import { nonEmpty } from '../validate.js';

/** A key or value: text is taken as UTF-8. */
export type Data = string | Uint8Array;

/** One key, or with `end` all keys from `key` up to but not including `end` (a single zero byte: no upper bound; no byte: none). */
export interface KeyRange {
  readonly key: Data;
  readonly end?: Data;
}

/** The bytes of a key or value, without copying where they are bytes already. */
export function toBytes(data: Data): Buffer {
  if (typeof data === 'string') return Buffer.from(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** How many bytes a key or value has. */
export function lengthOf(data: Data): number {
  return typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength;
}

/** Text whose characters are its bytes in all encodings. */
const plain = /^[ -~]*$/;

/** A key as text for use in a `Map`: lossless for any bytes, unlike UTF-8. */
export function keyId(key: Data): string {
  if (typeof key === 'string' && plain.test(key)) return key;
  return toBytes(key).toString('latin1');
}

/** The first key after all keys that begin with `prefix`; a single zero byte where there is none. */
export function prefixEnd(prefix: Data): Data {
  const end = bytesAfter(toBytes(prefix));
  if (typeof prefix !== 'string') return end;
  // Text is compared and written without a call into Node.
  const text = end.toString('latin1');
  return plain.test(text) ? text : end;
}

function bytesAfter(prefix: Uint8Array): Buffer {
  const end = Buffer.from(prefix);
  for (let last = end.length - 1; last >= 0; last -= 1) {
    const byte = end[last];
    if (byte !== undefined && byte < 0xff) {
      end[last] = byte + 1;
      return end.subarray(0, last + 1);
    }
  }
  return Buffer.from([0]);
}

/** All keys that begin with `prefix`; all keys there are, if it is empty. */
export function prefixRange(prefix: Data): KeyRange {
  return { key: prefix.length === 0 ? '\0' : prefix, end: prefixEnd(prefix) };
}

/**
 * The folder of a recipe, `<kind>/<name>/`, with slashes in the name escaped: so that no name can lie
 * inside another, and two kinds of recipe never meet on one name.
 *
 * @throws ArgumentError if the name is empty.
 */
export function folderOf(kind: string, name: string): string {
  const escaped = nonEmpty('name', name).replaceAll('%', '%25').replaceAll('/', '%2F');
  return `${kind}/${escaped}/`;
}

/** The name of which `folderOf` made this part of a key. */
export function unescapedName(part: string): string {
  return part.replaceAll('%2F', '/').replaceAll('%25', '%');
}
