import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { FieldReader } from '../../../../src/core/etcd3/wire/field-reader.js';
import { FieldWriter } from '../../../../src/core/etcd3/wire/field-writer.js';
import type { Data } from '../../../../src/core/store/keys.js';

/** A field by its value: a number, bytes, or a nested message. */
interface Field {
  readonly field: number;
  readonly value: bigint | number | Data | readonly Field[];
}

const field = fc.integer({ min: 1, max: 2 ** 29 - 1 });
const value = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.nat(),
  fc.maxSafeInteger(),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: 'binary-ascii', maxLength: 300 }),
  fc.uint8Array({ maxLength: 100 }),
);
const { fields } = fc.letrec<{ fields: Field[]; value: Field['value'] }>((tie) => ({
  value: fc.oneof({ depthSize: 'small' }, value, tie('fields')),
  fields: fc.array(fc.record({ field, value: tie('value') }), { maxLength: 5 }),
}));

function write(to: FieldWriter, all: readonly Field[]): FieldWriter {
  for (const { field: number, value: content } of all.toReversed()) {
    if (typeof content === 'bigint' || typeof content === 'number') {
      to.number(number, content);
    } else if (typeof content === 'string' || content instanceof Uint8Array) {
      to.bytes(number, content);
    } else {
      const before = to.length;
      write(to, content);
      to.nest(number, before);
    }
  }
  return to;
}

/** The same by protobufjs. */
function reference(to: protobuf.Writer, all: readonly Field[]): protobuf.Writer {
  for (const { field: number, value: content } of all) {
    const tag = (type: number): protobuf.Writer => to.uint32(((number << 3) | type) >>> 0);
    if (typeof content === 'bigint' || typeof content === 'number') {
      tag(0).int64(String(content));
    } else if (typeof content === 'string' || content instanceof Uint8Array) {
      tag(2).bytes(Buffer.from(content));
    } else {
      tag(2).fork();
      reference(to, content).ldelim();
    }
  }
  return to;
}

/** Reads a message with fields of these kinds. */
function read(from: FieldReader, all: readonly Field[]): Field[] {
  const found = all.map(({ value: content }) => {
    from.next();
    const { field: number } = from;
    if (typeof content === 'bigint') return { field: number, value: from.bigint() };
    if (typeof content === 'number') return { field: number, value: from.number() };
    if (typeof content === 'string') return { field: number, value: from.bytes().toString() };
    if (content instanceof Uint8Array)
      return { field: number, value: new Uint8Array(from.bytes()) };
    return { field: number, value: from.nested(read, content) };
  });
  if (from.next()) throw new Error('there is more');
  return found;
}

describe('fields', () => {
  it('are written as protobufjs writes them, and read again', () => {
    const property = fc.property(fields, (all) => {
      const message = write(new FieldWriter(), all).finish();
      expect(message).toEqual(Buffer.from(reference(protobuf.Writer.create(), all).finish()));
      expect(read(new FieldReader(message), all)).toEqual(all);
    });
    fc.assert(property, { numRuns: 1_000 });
  });

  it('may be longer than any message before', () => {
    const all = [
      { field: 1, value: 'é'.repeat(1_000_000) },
      { field: 2, value: 'e'.repeat(100) },
    ];
    expect(read(new FieldReader(write(new FieldWriter(), all).finish()), all)).toEqual(all);
  });

  it('of any type may be skipped', () => {
    const writer = protobuf.Writer.create();
    writer
      .uint32(8)
      .uint64(300)
      .uint32(17)
      .fixed64(1)
      .uint32(26)
      .string('abc')
      .uint32(37)
      .fixed32(1);
    const reader = new FieldReader(Buffer.from(writer.uint32(40).uint64(7).finish()));
    for (let skipped = 0; skipped < 4; skipped += 1) {
      reader.next();
      reader.skip();
    }
    reader.next();
    expect([reader.field, reader.number(), reader.next()]).toEqual([5, 7, false]);
  });

  it.each([
    ['a number is cut off', [8, 0x80]],
    ['a number has more than 64 bits', [8, ...Array(10).fill(0x80), 1]],
    ['bytes end behind the message', [10, 5, 1]],
    ['bytes are longer than there can be', [10, ...Array(9).fill(0xff), 1]],
    ['a field of a fixed length is cut off', [9, 1, 2, 3]],
    ['a field has a type that is no longer used', [11, 12]],
  ])('are refused where %s', (_, bytes) => {
    const reader = new FieldReader(Buffer.from(bytes));
    const skipAll = (): void => {
      while (reader.next()) reader.skip();
    };
    expect(skipAll).toThrow(/ends behind|64 bits|wire type/);
  });

  it('are refused where a number is expected and bytes came', () => {
    const reader = new FieldReader(Buffer.from([10, 0]));
    reader.next();
    expect(() => reader.bigint()).toThrow(TypeError);
    const other = new FieldReader(Buffer.from([8, 0]));
    other.next();
    expect(() => other.bytes()).toThrow(TypeError);
  });
});
