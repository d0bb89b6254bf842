import { describe, expect, it } from 'vitest';
import { type Queue, RefusedError, type Txn, UnavailableError } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { override } from '../support/override.js';

const etcd = useEtcd();
const numbers = Array.from({ length: 20 }, (_, i) => i);

/** How many jobs a transaction claims together with others. */
function claimsIn({ success = [] }: Txn): number {
  const claims = (txn: Txn): boolean =>
    (txn.success ?? []).some((step) => 'put' in step && step.put.key.toString().includes('!c/'));
  return success.filter((step) => 'txn' in step && claims(step.txn)).length;
}

/** A queue with 20 jobs, and what befalls claims that are sent together. */
async function prepared(
  around: (commit: () => Promise<unknown>) => Promise<unknown> = (commit) => commit(),
): Promise<{ queue: Queue<number>; together: number[] }> {
  const together: number[] = [];
  const process = await etcd.connect({}, (store) =>
    override(store, {
      commit: async (txn, options) => {
        const claims = claimsIn(txn);
        if (claims > 1) together.push(claims);
        const commit = (): ReturnType<typeof store.commit> => store.commit(txn, options);
        return (await (claims > 1 ? around(commit) : commit())) as Awaited<
          ReturnType<typeof store.commit>
        >;
      },
    }),
  );
  const queue = process.queue<number>(etcd.name('queue'));
  await queue.putMany(numbers);
  return { queue, together };
}

/** Takes all jobs at once. Gives their values and attempts. */
async function takeAll(queue: Queue<number>): Promise<[number, number][]> {
  const jobs = await Promise.all(numbers.map(() => queue.next({ timeout: 20_000 })));
  await Promise.all(jobs.map((job) => job.ack()));
  expect(await etcd.count(`queue/${queue.name}/ready/`)).toBe(0);
  return jobs.map((job) => [job.value, job.attempt]);
}

const allOnce = numbers.map((value) => [value, 1]);

describe('jobs that are wanted together', () => {
  it('are claimed in one step, and given in their order', async () => {
    const { queue, together } = await prepared();
    expect(await takeAll(queue)).toEqual(allOnce);
    expect(together).toEqual([20]);
  });

  it('are claimed one by one where that is refused', async () => {
    const refuse = () =>
      Promise.reject(new RefusedError('INVALID_ARGUMENT', 'too many operations'));
    const { queue } = await prepared(refuse);
    expect(await takeAll(queue)).toEqual(allOnce);
  });

  it('are each claimed once, and count one attempt, where the answer is lost', async () => {
    let lost = 0;
    const { queue } = await prepared(async (commit) => {
      const reply = await commit();
      lost += 1;
      if (lost > 1) return reply;
      const failure = { endpoint: 'etcd', status: 'UNAVAILABLE', message: 'answer lost' };
      throw new UnavailableError('unknown', [failure]);
    });
    expect((await takeAll(queue)).toSorted(([a], [b]) => a - b)).toEqual(allOnce);
    expect(lost).toBeGreaterThan(0);
  });
});
