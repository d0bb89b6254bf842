import { expect, it } from 'vitest';
import { Patience } from '../../src/core/etcd3-patience.js';

it('gives attempts the time that was configured while endpoints need less', () => {
  const patience = new Patience(500);
  expect([patience.of(0), patience.of(1)]).toEqual([500, 500]);
  patience.answered(2, 500);
  expect(patience.of(0)).toBe(500);
});

it('gives more to a call that all endpoints have left without an answer twice', () => {
  const patience = new Patience(500);
  expect([2, 3, 4, 5, 50].map((round) => patience.of(round))).toEqual([
    1_000, 2_000, 4_000, 8_000, 8_000,
  ]);
});

it('keeps in mind that it was needed, until answers are quick again', () => {
  const patience = new Patience(500);
  patience.answered(700, 1_000);
  expect(patience.of(0)).toBe(1_000);
  patience.answered(900, 1_000);
  expect(patience.of(0)).toBe(1_000);
  for (let i = 0; i < 100; i += 1) patience.answered(1, 1_000);
  expect(patience.of(0)).toBe(500);
});
