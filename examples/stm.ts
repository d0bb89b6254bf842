// Money moves between accounts, from many hands at once. Run: npx tsx examples/stm.ts 127.0.0.1:2379
import { connect, prefixRange } from '../src/index.js';

const endpoint = process.argv[2] ?? process.env['ETCD_ENDPOINT'] ?? '127.0.0.1:2379';
await using coordinator = await connect({ endpoints: [endpoint] });
const { client } = coordinator.namespace('examples/stm/');
const accounts = ['alice', 'bob', 'carol'];

// All of them at once, or none.
await client.stm((tx) => {
  for (const account of accounts) tx.put(`accounts/${account}`, '100');
});

/** Runs again whenever one of the two accounts was changed by somebody else meanwhile. */
async function transfer(from: string, to: string, amount: number): Promise<void> {
  await client.stm(async (tx) => {
    const read = async (account: string): Promise<number> =>
      Number((await tx.get(`accounts/${account}`)) ?? 0);
    const [source, target] = await Promise.all([read(from), read(to)]);
    if (source < amount) throw new Error(`${from} has only ${source}`);
    tx.put(`accounts/${from}`, String(source - amount));
    tx.put(`accounts/${to}`, String(target + amount));
  });
}

const others = (account: string): string[] => accounts.filter((other) => other !== account);
await Promise.all(accounts.flatMap((from) => others(from).map((to) => transfer(from, to, 10))));
await transfer('alice', 'bob', 1_000).catch((error: Error) => console.log(error.message));

// A range, as of one moment: nobody can slip in.
const sum = await client.stm(async (tx) => {
  const balances = await tx.range(prefixRange('accounts/'));
  return balances.reduce((total, { value }) => total + Number(value), 0);
});
console.log(`sum: ${sum}`);
await client.delete(prefixRange('accounts/'));
