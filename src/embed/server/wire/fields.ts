import type { Reader, Writer } from 'protobufjs/minimal.js';
import type { Codec, Field, Init } from './codec.js';

/** A 64-bit number as protobufjs gives and takes it. */
interface Long {
  readonly low: number;
  readonly high: number;
  toNumber(): number;
}

/** Bytes as text with one character for each byte: compact, immutable, and in the order of the bytes. */
export type Bytes = string;

const VARINT = 0;
const LENGTH_DELIMITED = 2;

/** Keys and values. */
export const bytes = (id: number): Field<Bytes> =>
  scalar(id, LENGTH_DELIMITED, '', readAs('latin1'), (writer, value) =>
    writer.bytes(Buffer.from(value, 'latin1')),
  );

/** Text for people. */
export const text = (id: number): Field<string> =>
  scalar(
    id,
    LENGTH_DELIMITED,
    '',
    // The reader's own would take what there is of a text that is cut off.
    readAs('utf8'),
    (writer, value) => writer.string(value),
  );

/** A yes or no. */
export const bool = (id: number): Field<boolean> =>
  scalar(
    id,
    VARINT,
    false,
    (reader) => reader.bool(),
    (writer, value) => writer.bool(value),
  );

/** An enumeration, by its number. */
export const enumeration = (id: number): Field<number> =>
  scalar(
    id,
    VARINT,
    0,
    (reader) => reader.int32(),
    (writer, value) => writer.int32(value),
  );

/** A 64-bit number that counts something: exact up to 2^53, as no count gets further. */
export const count = (id: number): Field<number> =>
  scalar(
    id,
    VARINT,
    0,
    (reader) => long(reader.int64()).toNumber(),
    (writer, value) => writer.int64(value),
  );

/** A signed 64-bit number with a meaning in every bit, such as the ID of a lease. */
export const int64 = (id: number): Field<bigint> =>
  scalar(id, VARINT, 0n, (reader) => BigInt.asIntN(64, readBits(reader)), writeBits);

/** An unsigned 64-bit number. */
export const uint64 = (id: number): Field<bigint> => scalar(id, VARINT, 0n, readBits, writeBits);

/** A message that may be missing. */
export function message<T extends object>(id: number, codec: Codec<T>): Field<T | undefined> {
  return {
    id,
    initial: () => undefined,
    read: (reader, _, wireType) => readMessage(reader, codec, wireType),
    write: (writer, value) => writeMessage(writer, id, codec, value as Init<T>),
  };
}

/** Any number of messages. */
export function messages<T extends object>(id: number, codec: Codec<T>): Field<readonly T[]> {
  return {
    id,
    initial: () => [],
    read: (reader, before, wireType) => append(before, readMessage(reader, codec, wireType)),
    write: (writer, values) => {
      for (const value of values) writeMessage(writer, id, codec, value as Init<T>);
    },
  };
}

/** Any number of texts or byte strings, each sent even if empty. */
export function list(one: (id: number) => Field<string>, id: number): Field<readonly string[]> {
  const item = one(id);
  const empty = Buffer.alloc(0);
  return {
    id,
    initial: () => [],
    read: (reader, before, wireType) => append(before, item.read(reader, '', wireType)),
    write: (writer, values) => {
      for (const value of values) {
        if (value === '') tag(writer, id, LENGTH_DELIMITED).bytes(empty);
        else item.write(writer, value);
      }
    },
  };
}

/** Any number of enumeration values, packed together or one by one. */
export const enumerations = (id: number): Field<readonly number[]> => ({
  id,
  initial: () => [],
  read(reader, before, wireType) {
    if (wireType !== LENGTH_DELIMITED) {
      return append(before, enumeration(id).read(reader, 0, wireType));
    }
    const end = reader.uint32() + reader.pos;
    while (reader.pos < end) append(before, reader.int32());
    return before;
  },
  write(writer, values) {
    if (values.length === 0) return;
    tag(writer, id, LENGTH_DELIMITED).fork();
    for (const value of values) writer.int32(value);
    writer.ldelim();
  },
});

/** The list that a field collects is its own while it is read. */
function append<E>(collected: readonly E[], item: E): readonly E[] {
  (collected as E[]).push(item);
  return collected;
}

function scalar<V>(
  id: number,
  type: number,
  initial: V,
  read: (reader: Reader) => V,
  write: (writer: Writer, value: V) => void,
): Field<V> {
  return {
    id,
    initial: () => initial,
    read: (reader, _, wireType) => {
      expectType(id, type, wireType);
      return read(reader);
    },
    write: (writer, value) => {
      if (value !== initial) write(tag(writer, id, type), value);
    },
  };
}

function tag(writer: Writer, id: number, type: number): Writer {
  return writer.uint32((id << 3) | type);
}

function expectType(id: number, expected: number, received: number): void {
  if (received !== expected) throw new TypeError(`wrong wire type ${received} for field ${id}`);
}

function readAs(encoding: 'latin1' | 'utf8'): (reader: Reader) => string {
  return (reader) => {
    const length = reader.uint32();
    const start = reader.pos;
    // Not skip(0): that means one varint.
    if (length > 0) reader.skip(length);
    return (reader.buf as Buffer).toString(encoding, start, start + length);
  };
}

function readMessage<T extends object>(reader: Reader, codec: Codec<T>, wireType: number): T {
  expectType(0, LENGTH_DELIMITED, wireType);
  const length = reader.uint32();
  return codec.read(reader, reader.pos + length);
}

function writeMessage<T extends object>(
  writer: Writer,
  id: number,
  codec: Codec<T>,
  value: Init<T>,
): void {
  tag(writer, id, LENGTH_DELIMITED).fork();
  codec.write(writer, value);
  writer.ldelim();
}

/** protobufjs gives these wherever the package long is installed, and it depends on that. */
function long(value: unknown): Long {
  return value as Long;
}

function readBits(reader: Reader): bigint {
  const { low, high } = long(reader.int64());
  const least = BigInt(low >>> 0);
  return high === 0 ? least : (BigInt(high >>> 0) << 32n) | least;
}

function writeBits(writer: Writer, value: bigint): void {
  const bits = BigInt.asUintN(64, value);
  const [low, high] = [Number(bits & 0xffffffffn) | 0, Number(bits >> 32n) | 0];
  writer.uint64({ low, high, unsigned: true });
}
