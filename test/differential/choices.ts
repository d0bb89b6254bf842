import fc, { type Arbitrary } from 'fast-check';
import type { Template } from './operations.js';

const { constant } = fc;

/** Picks by weight; shrinks towards the first. */
export function weighted<T>(
  ...choices: readonly (readonly [number, Arbitrary<T>])[]
): Arbitrary<T> {
  const options = choices.map(([weight, arbitrary]) => ({ weight, arbitrary }));
  return fc.oneof({ withCrossShrink: true }, ...options);
}

/** Something that is there once in `times`. */
export function once<T>(times: number, arbitrary: Arbitrary<T>): Arbitrary<T | undefined> {
  return weighted<T | undefined>([times - 1, constant(undefined)], [1, arbitrary]);
}

/** Yes, once in `times`. */
export function flag(times: number): Arbitrary<boolean | undefined> {
  return once(times, constant(true));
}

/** One request of several parts. */
export function merged(...parts: readonly Arbitrary<Template>[]): Arbitrary<Template> {
  return fc.tuple(...parts).map((all) => Object.assign({}, ...all) as Template);
}
