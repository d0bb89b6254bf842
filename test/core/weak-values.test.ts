import { expect, it } from 'vitest';
import { WeakValues } from '../../src/core/weak-values.js';
import { collected } from '../support/collected.js';

it('keeps neither what nobody has any more, nor its name', async () => {
  const values = new WeakValues<object, object>();
  const [name, kept] = [{}, values.at({}, () => ({}))];
  const forgotten = ((): WeakRef<object>[] => {
    const other = {};
    return [new WeakRef(other), new WeakRef(values.at(other, () => ({})))];
  })();
  values.at(name, () => ({}));
  expect(await collected(() => forgotten.every((each) => !each.deref()))).toBe(true);
  expect([...values]).toEqual([kept]);
  const made = {};
  expect(values.at(name, () => made)).toBe(made);
  expect(values.at(name, () => ({}))).toBe(made);
});
