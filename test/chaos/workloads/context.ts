import { setTimeout as sleep } from 'node:timers/promises';
import { type Hold, HoldLostError, type KeyRange, type Store } from '../../../src/index.js';
import type { Setup } from '../crew.js';
import { now } from '../history.js';
import type { Operations } from '../operations.js';
import type { Random } from '../random.js';
import type { Vault } from '../vault.js';

/** What a workload runs with. */
export interface Context {
  readonly setup: Setup;
  readonly store: Store;
  readonly operations: Operations;
  readonly vault: Vault;
  readonly random: Random;
  /** Aborts when the run is over. */
  readonly stop: AbortSignal;
}

/** Milliseconds within which a call of the store has to settle, by its default timeout. */
export const CALL_LIMIT = 5_000;

/** Milliseconds that somebody waits for others. */
export const WAIT = 8_000;

/** What to make of errors of who waits: the end of the run is no failure, the place in the line is given up. */
export function givenUp(life: AbortSignal, what: string): (error: unknown) => never {
  return (error) => {
    throw life.aborted ? new HoldLostError(what, 'closed') : error;
  };
}

/** What a hold says of itself. */
export function lossOf({ setup }: Context, hold: Hold): string | null {
  return setup.defect === 'keep-after-loss' ? null : (hold.lost ?? null);
}

/** Which of the keys that take turns is in use: histories of single keys stay short. */
export function generation(milliseconds: number): number {
  return Math.floor(now() / 1_000 / milliseconds);
}

/** All keys that begin so. */
export function under(prefix: string): KeyRange & { readonly key: string; readonly end: string } {
  const last = prefix.length - 1;
  const end = prefix.slice(0, last) + String.fromCodePoint((prefix.codePointAt(last) ?? 0) + 1);
  return { key: prefix, end };
}

/** So many calls of one workload may be without an answer. */
const OUTSTANDING = 8;

/**
 * Does something so many times a second on average, until `signal` aborts; whoever waits for an answer does not keep
 * others from being asked.
 */
export async function repeat(
  rate: number,
  random: Random,
  signal: AbortSignal,
  work: () => Promise<unknown>,
): Promise<void> {
  const running = new Set<Promise<unknown>>();
  while (!signal.aborted) {
    if (running.size >= OUTSTANDING) await Promise.race(running);
    const done: Promise<unknown> = work().finally(() => running.delete(done));
    running.add(done);
    const wait = (-Math.log(1 - random.between(0, 1)) * 1_000) / rate;
    await sleep(wait, undefined, { signal }).catch(() => {});
  }
  await Promise.all(running);
}
