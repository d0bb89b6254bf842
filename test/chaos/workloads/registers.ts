import { CALL_LIMIT, type Context, generation, repeat } from './context.js';

const LIFE = 3_000;
const KEYS = 4;

/** Reads, writes, and writes on the condition that the value is what it was when last seen. */
export async function registers(context: Context, rate: number): Promise<void> {
  const { random, store, operations, stop } = context;
  const seen = new Map<string, string | null>();
  const limit = CALL_LIMIT;

  async function read(key: string): Promise<void> {
    const reply = await operations.run(
      'read',
      { key, limit },
      () => store.read({ key }),
      ({ kvs: [kv], revision }) => ({
        value: kv?.value.toString() ?? null,
        mod: Number(kv?.modRevision ?? 0),
        rev: Number(revision),
      }),
    );
    if (reply) seen.set(key, reply.kvs[0]?.value.toString() ?? null);
  }

  async function write(key: string): Promise<void> {
    const { i, value } = operations.fresh();
    const txn = { success: [{ put: { key, value } }] };
    const reply = await operations.run(
      'write',
      { i, key, value, limit },
      () => store.commit(txn, { exactlyOnce: true }),
      ({ revision }) => ({ rev: Number(revision) }),
    );
    if (reply) seen.set(key, value);
  }

  async function compareAndSet(key: string): Promise<void> {
    const { i, value } = operations.fresh();
    const expect = seen.get(key) ?? null;
    const txn = {
      compare: [
        expect === null
          ? { key, target: 'create' as const, to: 0n }
          : { key, target: 'value' as const, to: expect },
      ],
      success: [{ put: { key, value } }],
      failure: [{ range: { key } }],
    };
    const reply = await operations.run(
      'cas',
      { i, key, expect, value, limit },
      () => store.commit(txn, { exactlyOnce: true }),
      ({ succeeded, revision, replies: [found] }) => ({
        succeeded,
        rev: Number(revision),
        ...(!succeeded && {
          value: found?.kvs[0]?.value.toString() ?? null,
          mod: Number(found?.kvs[0]?.modRevision ?? 0),
        }),
      }),
    );
    if (!reply) return;
    seen.set(key, reply.succeeded ? value : (reply.replies[0]?.kvs[0]?.value.toString() ?? null));
  }

  await repeat(rate, random, stop, () => {
    const key = `data/reg/${generation(LIFE)}/${random.below(KEYS)}`;
    if (seen.size > 100) seen.clear();
    if (random.chance(0.4)) return read(key);
    return random.chance(0.5) ? write(key) : compareAndSet(key);
  });
}
