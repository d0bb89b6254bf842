import { setTimeout as sleep } from 'node:timers/promises';
import { type Codec, Mirror, type Session } from '../../../src/index.js';
import { digestOf } from '../digest.js';
import { type Context, under } from './context.js';

/** Milliseconds between two looks. */
const SAMPLE = 500;
const text: Codec<string> = { encode: String, decode: (bytes) => Buffer.from(bytes).toString() };

/** Mirrors what all write, and says what it comes to at which revision. */
export async function mirrors(
  { operations, setup, stop }: Context,
  session: Session,
): Promise<void> {
  const key = 'data/';
  using mirror = new Mirror(session, under(key), { codec: text, staleAfter: 2_000 });
  mirror.on('error', (error) => operations.note('mirror', { key, error: String(error) }));
  let last: string | undefined;
  while (!stop.aborted) {
    await sleep(SAMPLE, undefined, { signal: stop }).catch(() => {});
    const { state, revision } = mirror;
    if (state !== 'current' && state !== 'stale') continue;
    const now = digestOf(mirror.entries());
    const value = setup.defect === 'late-mirror' ? (last ?? now) : now;
    last = now;
    operations.note('mirror', { key, rev: Number(revision), value, state });
  }
}
