import { expect, it } from 'vitest';
import { Patience } from '../../../src/core/time/patience.js';

it('gives attempts the time that was configured while endpoints need less', () => {
  const patience = new Patience(500);
  expect(patience.of(0)).toBe(500);
  patience.answered(2, 500);
  expect(patience.of(0)).toBe(500);
});

it('gives all the time there is to a call that all endpoints have left without an answer', () => {
  expect([1, 2, 50].map((round) => new Patience(500).of(round))).toEqual([8_000, 8_000, 8_000]);
  expect(new Patience(20_000).of(1)).toBe(20_000);
});

it('keeps in mind that it was needed, until answers are quick again', () => {
  const patience = new Patience(500);
  patience.answered(700, 1_000);
  expect(patience.of(0)).toBe(1_000);
  patience.answered(900, 1_000);
  expect(patience.of(0)).toBe(1_000);
  patience.answered(1_700, 8_000);
  expect(patience.of(0)).toBe(3_400);
  // An outage is soon forgotten: the next silent endpoint is to be left as soon as ever.
  for (let i = 0; i < 3; i += 1) patience.answered(1, 1_000);
  expect(patience.of(0)).toBe(500);
});

it('never gives less than was configured, however late a short attempt was answered', () => {
  const patience = new Patience(500);
  patience.answered(600, 50);
  expect(patience.of(0)).toBe(500);
  const long = new Patience(10_000);
  long.answered(12_000, 30_000);
  expect(long.of(0)).toBe(10_000);
});
