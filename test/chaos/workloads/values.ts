import { Counter, Sequence, type Session } from '../../../src/index.js';
import { CALL_LIMIT, type Context, generation, repeat, WAIT } from './context.js';

const LIFE = 5_000;
const RATE = 5;

/** Adds to counters, by addition or by setting what was last seen to something larger, and reads them. */
export async function sums({ random, operations, stop }: Context, session: Session): Promise<void> {
  const seen = new Map<string, bigint>();
  const limit = CALL_LIMIT;

  async function add(key: string, counter: Counter): Promise<void> {
    const delta = 1 + random.below(3);
    const after = await operations.run(
      'sum',
      { key, delta, limit },
      () => counter.add(BigInt(delta)),
      (sum) => ({ after: Number(sum), delta }),
    );
    if (after !== undefined) seen.set(key, after);
  }

  async function set(key: string, counter: Counter): Promise<void> {
    const delta = 1 + random.below(3);
    const expected = seen.get(key) ?? 0n;
    const after = expected + BigInt(delta);
    await operations.run(
      'sum',
      { key, delta, limit },
      () => counter.compareAndSet(expected, after),
      (succeeded) => ({ succeeded, after: Number(after), delta }),
    );
  }

  async function total(key: string, counter: Counter): Promise<void> {
    const sum = await operations.run(
      'total',
      { key, limit },
      () => counter.get(),
      (present) => ({ after: Number(present) }),
    );
    if (sum !== undefined) seen.set(key, sum);
  }

  await repeat(RATE, random, stop, async () => {
    const name = String(generation(LIFE));
    const key = `counter/${name}/value`;
    const counter = new Counter(session, name);
    if (seen.size > 10) seen.clear();
    if (random.chance(0.3)) return total(key, counter);
    if (random.chance(0.3)) return set(key, counter);
    // Those that are made together travel as one.
    const times = random.chance(0.3) ? 3 : 1;
    return Promise.all(Array.from({ length: times }, () => add(key, counter)));
  });
}

/** Takes numbers one by one, and in blocks. */
export async function numbers(context: Context, session: Session): Promise<void> {
  const { random, operations, stop } = context;
  const sequences = [
    new Sequence(session, 'single'),
    new Sequence(session, 'blocks', { block: 10 }),
  ];
  await repeat(RATE, random, stop, async () => {
    const sequence = sequences[random.below(2)] as Sequence;
    const timeout = random.chance(0.1) ? random.between(5, 100) : WAIT;
    await operations.run(
      'number',
      { key: sequence.name, limit: timeout },
      () => sequence.next({ timeout }),
      (number) => ({ after: Number(number) }),
    );
  });
}
