import { CALL_LIMIT, type Context, generation, repeat } from './context.js';

const LIFE = 5_000;
const KEYS = 3;

/** Adds by writing: how often a key was written is its version. Now and then two are written in one step. */
export async function counters(context: Context, rate: number): Promise<void> {
  const { random, store, operations, stop } = context;
  const limit = CALL_LIMIT;

  async function add(key: string): Promise<void> {
    const { i, value } = operations.fresh();
    const twin = { put: { key: `${key}/twin`, value: '' } };
    const success = [{ put: { key, value } }, ...(random.chance(0.1) ? [twin] : [])];
    await operations.run(
      'add',
      { i, key, value, limit },
      () => store.commit({ success }, { exactlyOnce: true }),
      ({ revision }) => ({ rev: Number(revision) }),
    );
  }

  async function count(key: string): Promise<void> {
    await operations.run(
      'count',
      { key, limit },
      () => store.read({ key }),
      ({ kvs: [kv], revision }) => ({
        version: Number(kv?.version ?? 0),
        mod: Number(kv?.modRevision ?? 0),
        rev: Number(revision),
      }),
    );
  }

  await repeat(rate, random, stop, () => {
    const key = `data/cnt/${generation(LIFE)}/${random.below(KEYS)}`;
    return random.chance(0.25) ? count(key) : add(key);
  });
}
