import type { Data } from '../../store/keys.js';

const VARINT = 0;
const LENGTH_DELIMITED = 2;

/** Longer text is left to Node, whose calls cost more than a few characters. */
const short = 200;
const wide = new DataView(new ArrayBuffer(8));

/** Where messages are written, one at a time, before they are copied to what is sent. */
const desk = Buffer.allocUnsafeSlow(64 * 2 ** 10);

/**
 * Writes a message in protobuf's binary form from its end to its beginning: so the length of a nested message is known
 * when it is due, right before the message. Fields are written last first, and one message after the other.
 */
export class FieldWriter {
  #bytes = desk;
  #start = desk.length;

  /** How many bytes were written so far. */
  get length(): number {
    return this.#bytes.length - this.#start;
  }

  /** What was written. */
  finish(): Buffer {
    return Buffer.from(this.#bytes.subarray(this.#start));
  }

  /** A number, signed if it is a `bigint`. */
  number(field: number, value: bigint | number): void {
    if (typeof value === 'number' && value >= 0 && value <= 0xffffffff) {
      this.#varint(value, 0);
    } else {
      wide.setBigInt64(0, BigInt(value));
      this.#varint(wide.getUint32(4), wide.getUint32(0));
    }
    this.#varint((field << 3) | VARINT, 0);
  }

  /** Text as UTF-8, or bytes. */
  bytes(field: number, data: Data): void {
    const before = this.length;
    if (typeof data !== 'string') this.#copy(data);
    else if (data.length > short || !this.#plain(data)) this.#copy(Buffer.from(data));
    this.nest(field, before);
  }

  /** Makes a nested message of what was written since `length` was `before`. */
  nest(field: number, before: number): void {
    this.#varint(this.length - before, 0);
    this.#varint((field << 3) | LENGTH_DELIMITED, 0);
  }

  /** Gives `false`, and has written nothing, if there is a character that is not of ASCII. */
  #plain(text: string): boolean {
    this.#reserve(text.length);
    const bytes = this.#bytes;
    let at = this.#start;
    for (let index = text.length - 1; index >= 0; index -= 1) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) return false;
      at -= 1;
      bytes[at] = code;
    }
    this.#start = at;
    return true;
  }

  #copy(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#start -= bytes.length;
    this.#bytes.set(bytes, this.#start);
  }

  /** A number of 64 bits by its halves. */
  #varint(lower: number, upper: number): void {
    const bits = upper === 0 ? 32 - Math.clz32(lower) : 64 - Math.clz32(upper);
    const size = Math.max(1, Math.ceil(bits / 7));
    this.#reserve(size);
    this.#start -= size;
    const last = this.#start + size - 1;
    let low = lower;
    let high = upper;
    for (let at = this.#start; at < last; at += 1) {
      this.#bytes[at] = (low & 0x7f) | 0x80;
      low = (low >>> 7) | (high << 25);
      high >>>= 7;
    }
    this.#bytes[last] = low;
  }

  #reserve(size: number): void {
    if (size <= this.#start) return;
    const { length } = this;
    const larger = Buffer.allocUnsafe(2 * (length + size));
    larger.set(this.#bytes.subarray(this.#start), larger.length - length);
    this.#bytes = larger;
    this.#start = larger.length - length;
  }
}
