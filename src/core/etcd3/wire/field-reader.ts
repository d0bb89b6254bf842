const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

const wide = new DataView(new ArrayBuffer(8));

/**
 * Reads the fields of a message in protobuf's binary form, one after the other: each is read or skipped before the `next`.
 * Takes no memory but for what is there, and throws a `RangeError` or `TypeError` where the bytes are no such message.
 */
export class FieldReader {
  /** The number of the present field. */
  field = 0;
  readonly #bytes: Buffer;
  #end: number;
  #at = 0;
  #type = VARINT;
  #low = 0;
  #high = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#end = bytes.length;
  }

  /** Where it is; and for what must be read twice, where it is to be. */
  get place(): number {
    return this.#at;
  }

  set place(place: number) {
    this.#at = place;
  }

  /** Goes to the next field. Gives `false` at the end of the message. */
  next(): boolean {
    if (this.#at === this.#end) return false;
    this.#varint();
    this.field = this.#low >>> 3;
    this.#type = this.#low & 7;
    return true;
  }

  /** A signed number of 64 bits. */
  bigint(): bigint {
    this.#expect(VARINT);
    this.#varint();
    if (this.#high === 0) return BigInt(this.#low);
    wide.setUint32(0, this.#high);
    wide.setUint32(4, this.#low);
    return wide.getBigInt64(0);
  }

  /** A number that counts something. */
  number(): number {
    return Number(this.bigint());
  }

  bool(): boolean {
    return this.bigint() !== 0n;
  }

  /** What it gives is a part of the whole, not a copy. */
  bytes(): Buffer {
    const end = this.#endOfField();
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  /** A nested message, by a function that goes through its fields with `next` and is told what it is `about`. */
  nested<T>(read: (from: FieldReader) => T): T;
  nested<T, About>(read: (from: FieldReader, about: About) => T, about: About): T;
  nested<T, About>(read: (from: FieldReader, about?: About) => T, about?: About): T {
    const end = this.#endOfField();
    const outer = this.#end;
    this.#end = end;
    const message = read(this, about);
    this.#end = outer;
    this.#at = end;
    return message;
  }

  skip(): void {
    if (this.#type === VARINT) this.#varint();
    else if (this.#type === LENGTH_DELIMITED) this.#at = this.#endOfField();
    else if (this.#type === FIXED64) this.#at = this.#endAfter(8);
    else if (this.#type === FIXED32) this.#at = this.#endAfter(4);
    else throw new TypeError(`wire type ${this.#type} in field ${this.field}`);
  }

  #endOfField(): number {
    this.#expect(LENGTH_DELIMITED);
    this.#varint();
    return this.#endAfter(this.#high === 0 ? this.#low : Infinity);
  }

  #endAfter(length: number): number {
    const end = this.#at + length;
    if (end > this.#end) throw new RangeError('a field ends behind the end of its message');
    return end;
  }

  #expect(type: number): void {
    if (this.#type !== type) {
      throw new TypeError(`wire type ${this.#type} in field ${this.field}, not ${type}`);
    }
  }

  /** Reads a number of 64 bits into its halves. */
  #varint(): void {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#at >= this.#end)
        throw new RangeError('a number ends behind the end of its message');
      const byte = this.#bytes[this.#at] as number;
      this.#at += 1;
      const bits = byte & 0x7f;
      if (shift < 32) low |= bits << shift;
      if (shift === 28) high = bits >>> 4;
      if (shift > 28) high |= bits << (shift - 32);
      if (byte < 0x80) {
        this.#low = low >>> 0;
        this.#high = high >>> 0;
        return;
      }
    }
    throw new RangeError('a number has more than 64 bits');
  }
}
