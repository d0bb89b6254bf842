import { describe, expect, it } from 'vitest';
import { KeyNames } from '../../../src/core/session/key-names.js';

describe('names of keys', () => {
  it('are taken again once they were given back, by one at a time', () => {
    const names = new KeyNames(255n);
    const taken = [names.take('a/'), names.take('a/'), names.take('b/')];
    expect(taken).toEqual(['a/ff-1', 'a/ff-2', 'b/ff-1']);
    names.giveBack('a/ff-1');
    names.giveBack('a/ff-1');
    expect([names.take('a/'), names.take('a/')]).toEqual(['a/ff-1', 'a/ff-3']);
    expect(names.size).toBe(4);
  });

  it('that were dropped are never taken again, for which one number is remembered and no folders', () => {
    const names = new KeyNames(255n);
    for (const folder of ['a/', 'b/', 'c/']) names.drop(names.take(folder));
    expect(names.size).toBe(0);
    names.giveBack('a/ff-1');
    const again = ['a/', 'b/', 'c/', 'd/'].map((folder) => names.take(folder));
    expect(again).toEqual(['a/ff-4', 'b/ff-4', 'c/ff-4', 'd/ff-4']);
    names.drop('a/ff-4');
    for (const key of again.slice(1)) names.giveBack(key);
    expect(names.take('b/')).toBe('b/ff-5');
  });
});
