import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { folderOf, keyId, prefixEnd, toBytes } from '../../../src/core/store/keys.js';
import { ArgumentError } from '../../../src/index.js';

describe('a folder', () => {
  it('never lies inside the folder of another name', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.string({ minLength: 1 }), (a, b) => {
        fc.pre(a !== b);
        expect(folderOf('mutex', a).startsWith(folderOf('mutex', b))).toBe(false);
      }),
    );
  });

  it('is not that of another name whose bytes are the same', () => {
    for (const name of ['\ud800', 'a\udc00b', '\udc00\ud800']) {
      expect(() => folderOf('mutex', name)).toThrow('well-formed Unicode');
    }
    expect(folderOf('mutex', '\ud83d\ude00')).toBe('mutex/😀/');
  });

  it('keeps names readable', () => {
    expect(folderOf('mutex', 'reports/daily 100%')).toBe('mutex/reports%2Fdaily 100%25/');
  });

  it('needs a name', () => {
    expect(() => folderOf('mutex', '')).toThrow(ArgumentError);
  });
});

describe('the end of a prefix', () => {
  it('is above every key with the prefix and at most every key above them', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(bytes, bytes, (prefix, key) => {
        const end = toBytes(prefixEnd(prefix));
        const below = end.equals(Buffer.from([0])) || Buffer.compare(key, end) < 0;
        const inside = Buffer.compare(key, prefix) >= 0 && below;
        expect(inside).toBe(Buffer.from(key.subarray(0, prefix.length)).equals(prefix));
      }),
    );
  });

  it('carries over 0xff, and has no bound where there is none', () => {
    expect(prefixEnd(Buffer.from('a\xff\xff', 'latin1'))).toEqual(Buffer.from('b'));
    expect(prefixEnd(Buffer.from([0xff, 0xff]))).toEqual(Buffer.from([0]));
  });
});

it('names any bytes without loss', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      expect(Buffer.from(keyId(bytes), 'latin1')).toEqual(Buffer.from(bytes));
      expect(toBytes(bytes)).toEqual(Buffer.from(bytes));
    }),
  );
});
