import { wasApplied } from '../core/line/hold.js';
import { UnavailableError } from '../core/store/errors.js';
import type { Put } from './unique.js';

/**
 * Waits until it is known of each what became of it.
 *
 * @throws what the first failed with that may not have been put; with the outcome `not-applied` only if none was put.
 */
export async function allPut(sent: readonly Promise<Put>[]): Promise<Put[]> {
  const errors: unknown[] = [];
  for (const end of await Promise.allSettled(sent)) {
    if (end.status === 'rejected') errors.push(end.reason);
  }
  if (errors.length === 0) return Promise.all(sent);
  const error = errors.find((each) => !wasApplied(each)) ?? errors[0];
  const isNonePut = errors.length === sent.length && errors.every(wasNotApplied);
  if (isNonePut || !(error instanceof UnavailableError) || !wasNotApplied(error)) throw error;
  throw new UnavailableError('unknown', error.failures, { cause: error });
}

function wasNotApplied(error: unknown): boolean {
  return Object(error).outcome === 'not-applied';
}
