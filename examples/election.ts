// Leaders, and who comes next. Run: npx tsx examples/election.ts 127.0.0.1:2379
import { connect } from '../src/index.js';

const endpoint = process.argv[2] ?? process.env['ETCD_ENDPOINT'] ?? '127.0.0.1:2379';
await using coordinator = await connect({ endpoints: [endpoint] });
const name = 'examples/election';
const election = coordinator.election(name);

// Whoever wants to know who leads is told of every leader and every vacancy, in order.
const changes = election.watch();
const observed = async (): Promise<void> => {
  const { value } = await changes.next();
  console.log(`leads: ${value?.leader?.value ?? 'nobody'}`);
};
await observed();

// By hand: leads until it resigns, and says what others are to know.
const term = await coordinator.election(name, { id: 'a' }).campaign('a');
await observed();
await term.proclaim('a, busy');
await observed();

// Two who wait. The larger priority is next, unless the leader wants it otherwise.
const b = coordinator.election(name, { id: 'b', priority: 10 }).campaign('b');
const c = coordinator.election(name, { id: 'c' }).campaign('c');
let { candidates } = await election.inspect();
while (candidates.length < 2) ({ candidates } = await election.inspect());
console.log(`next: ${candidates.map(({ id }) => id).join(', ')}`);
console.log(`transferred: ${await term.transferTo('c')}`);
await observed();
await (await c).resign();
await observed();
await (await b).resign();
await observed();

// For as long as a function runs; what it writes through the term is written only while it leads.
await election.run('d', async (each) => {
  await each.txn().put('examples/leader', `token ${each.token}`).commit();
  await observed();
});
