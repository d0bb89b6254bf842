import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { Codec } from '../../../src/embed/server/wire/codec.js';
import {
  bool,
  bytes,
  count,
  enumeration,
  enumerations,
  int64,
  list,
  message,
  messages,
  text,
  uint64,
} from '../../../src/embed/server/wire/fields.js';

interface Inner {
  readonly key: string;
  readonly n: number;
}
interface Outer {
  readonly raw: string;
  readonly words: string;
  readonly flag: boolean;
  readonly kind: number;
  readonly size: number;
  readonly id: bigint;
  readonly member: bigint;
  readonly kinds: readonly number[];
  readonly urls: readonly string[];
  readonly keys: readonly string[];
  readonly one: Inner | undefined;
  readonly many: readonly Inner[];
}

const Inner: Codec<Inner> = new Codec(() => ({ key: bytes(1), n: count(2) }));
const Outer: Codec<Outer> = new Codec(() => ({
  raw: bytes(1),
  words: text(2),
  flag: bool(3),
  kind: enumeration(4),
  size: count(5),
  id: int64(6),
  member: uint64(7),
  kinds: enumerations(8),
  urls: list(text, 9),
  keys: list(bytes, 10),
  one: message(11, Inner),
  many: messages(64, Inner),
}));

/** The same messages, by protobufjs's own reader of definitions. */
const reference = protobuf
  .parse(`
  syntax = "proto3";
  message Inner { bytes key = 1; int64 n = 2; }
  message Outer {
    bytes raw = 1; string words = 2; bool flag = 3; int32 kind = 4; int64 size = 5; int64 id = 6;
    uint64 member = 7; repeated int32 kinds = 8; repeated string urls = 9; repeated bytes keys = 10;
    Inner one = 11; repeated Inner many = 64;
  }
`)
  .root.lookupType('Outer');

const byteText = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((n) => String.fromCharCode(n)),
});
const size = fc.integer({ min: -(2 ** 53) + 1, max: 2 ** 53 - 1 });
const inner = fc.record({ key: byteText, n: size });
const outer = fc.record({
  raw: byteText,
  words: fc.string({ unit: 'grapheme' }),
  flag: fc.boolean(),
  kind: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  size,
  id: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  member: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  kinds: fc.array(fc.integer({ min: 0, max: 3 })),
  urls: fc.array(fc.string()),
  keys: fc.array(byteText),
  one: fc.option(inner, { nil: undefined }),
  many: fc.array(inner),
});

const base64 = (key: string): string => Buffer.from(key, 'latin1').toString('base64');
const plain = ({ key, n }: Inner): object => ({ key: base64(key), n: String(n) });

describe('a message', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(outer, (value) => {
        expect(Outer.decode(Outer.encode(value))).toEqual(value);
      }),
    );
  });

  it('is what protobuf says it is', () => {
    fc.assert(
      fc.property(outer, (value) => {
        const read = reference.toObject(reference.decode(Outer.encode(value)), {
          longs: String,
          bytes: String,
          defaults: true,
        });
        const { raw, size: n, id, member, keys, one, many, ...rest } = value;
        expect(read).toEqual({
          ...rest,
          raw: base64(raw),
          size: String(n),
          id: String(id),
          member: String(member),
          keys: keys.map(base64),
          one: one ? plain(one) : null,
          many: many.map(plain),
        });
      }),
    );
  });

  it('has initial values for what was not sent, and needs no bytes for them', () => {
    expect(Outer.encode({})).toHaveLength(0);
    expect(Outer.encode(Outer.create())).toHaveLength(0);
    expect(Outer.decode(Buffer.alloc(0))).toEqual(Outer.create());
  });

  it('may have enumerations one by one as well as packed', () => {
    const oneByOne = Buffer.from([0x40, 1, 0x40, 2]);
    expect(Outer.decode(oneByOne).kinds).toEqual([1, 2]);
  });

  it('is refused, never misread, when bytes of it are missing', () => {
    fc.assert(
      fc.property(inner, fc.nat(), (value, at) => {
        const whole = Outer.encode({ one: value, words: 'end' });
        const cut = whole.subarray(0, at % whole.length);
        let read: Outer | undefined;
        try {
          read = Outer.decode(cut);
        } catch {
          return;
        }
        // What ends between two fields is a whole message with fewer of them.
        expect([undefined, 'end']).toContain(read.words || undefined);
        expect(read.one ?? value).toEqual(value);
      }),
    );
  });
});
