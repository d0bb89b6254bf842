import { expect, it } from 'vitest';
import { Ring } from '../../../src/core/events/ring.js';

function membersOf(ring: Ring<string>): string[] {
  const members: string[] = [];
  ring.forEach((member) => members.push(member));
  return members;
}

it('keeps its members in the order in which they came', () => {
  const ring = new Ring<string>();
  expect(ring.isEmpty).toBe(true);
  const [, takeOut] = ['a', 'b', 'c'].map((member) => ring.add(member));
  expect(membersOf(ring)).toEqual(['a', 'b', 'c']);
  expect(takeOut?.()).toBe(true);
  ring.add('d');
  expect(membersOf(ring)).toEqual(['a', 'c', 'd']);
});

it('takes a member out once, and is empty when all have gone', () => {
  const ring = new Ring<string>();
  const first = ring.add('a');
  const second = ring.add('b');
  expect([first(), first(), ring.isEmpty]).toEqual([true, false, false]);
  expect([second(), ring.isEmpty, second()]).toEqual([true, true, false]);
  ring.add('a');
  expect([first(), membersOf(ring)]).toEqual([false, ['a']]);
});

it('leaves out who is taken out before his turn, and who comes meanwhile', () => {
  const ring = new Ring<string>();
  const found: string[] = [];
  const leave = { a: ring.add('a'), b: ring.add('b'), c: ring.add('c') };
  ring.forEach((member) => {
    found.push(member);
    leave.a();
    leave.b();
    ring.add('d');
  });
  expect(found).toEqual(['a', 'c']);
});
