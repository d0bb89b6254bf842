// What processes count and share, and what they wait for. Run: npx tsx examples/values.ts 127.0.0.1:2379
import { connect } from '../src/index.js';

const endpoint = process.argv[2] ?? process.env['ETCD_ENDPOINT'] ?? '127.0.0.1:2379';
await using coordinator = await connect({ endpoints: [endpoint] });

// Each addition is applied once; those of one moment travel as one.
const counter = coordinator.counter('examples/orders');
const before = await counter.get();
await Promise.all(Array.from({ length: 100 }, () => counter.add()));
console.log(`counted: ${(await counter.get()) - before}`);

// Each number is given once.
const ids = coordinator.sequence('examples/ids', { block: 10 });
const given = await Promise.all(Array.from({ length: 25 }, () => ids.next()));
console.log(`numbers: ${new Set(given).size}`);

// A value that is changed depending on what it is, and waited for.
const settings = coordinator.value<{ readonly level: number }>('examples/settings');
const high = settings.until((now) => now !== undefined && now.level > 2);
await settings.set({ level: 1 });
await settings.update((now) => ({ level: (now?.level ?? 0) + 2 }));
console.log(`level: ${(await high).value?.level}`);
await settings.delete();

// Raised, all wait; lifted, all pass.
const gate = coordinator.gate('examples/gate');
await gate.raise({ bound: true });
const passing = gate.wait();
console.log(`lifted: ${await gate.lift()}`);
await passing;

// Opens when two have counted down.
const latch = coordinator.latch('examples/latch', 2);
const opening = latch.wait();
console.log(`still waited for: ${await latch.countDown('a')}, ${await latch.countDown('b')}`);
await opening;
await latch.reset();
