// Jobs with retries, order by key, a result, and an end that is one transaction. Run: npx tsx examples/queue.ts 127.0.0.1:2379
import { connect, prefixRange } from '../src/index.js';

const endpoint = process.argv[2] ?? process.env['ETCD_ENDPOINT'] ?? '127.0.0.1:2379';
await using coordinator = await connect({ endpoints: [endpoint] });

interface Transfer {
  readonly account: string;
  readonly amount: number;
}
const transfers = coordinator.queue<Transfer>('examples/transfers', {
  backoff: { type: 'fixed', delay: 50 },
  keepResults: true,
});
const booked = coordinator.queue<string>('examples/booked');

// The first attempt fails; those behind it of the same account wait for it all the same.
const order: number[] = [];
const consumer = transfers.consume(
  ({ value: { account, amount }, attempt, effects }) => {
    if (amount === 1 && attempt === 1) throw new Error('try again');
    if (account === 'a') order.push(amount);
    // The end of the job, a write, and another job: all of it, once, and only while the job is ours.
    effects.put(`examples/balance/${account}`, `${amount}`).enqueue(booked, account);
    return amount * 2;
  },
  { concurrency: 4 },
);
const receipts = await transfers.putMany(
  [1, 2, 3].map((amount) => ({ account: 'a', amount })),
  { orderKey: 'a' },
);
const other = await transfers.put({ account: 'b', amount: 10 });
console.log('results:', await other.finished());
await Promise.all(receipts.map((receipt) => receipt.finished()));
console.log(`in order: ${order.join(', ')}`);
await consumer.close();

const { previous } = await coordinator.client.delete(prefixRange('examples/balance/'), {
  previous: true,
});
console.log(`balances: ${previous.map(({ value }) => value.toString()).join(', ')}`);

// Taken in one step, and acknowledged in one.
const clerk = booked.consumeBatches((jobs) => console.log(`booked: ${jobs.length}`));
await clerk.drain();
