import { Command } from 'commander';
import { type ComparisonOptions, compareEtcds } from './compare.js';
import { tooSeldom } from './coverage.js';
import { authentication, everything } from './subjects.js';

const command = new Command('test:differential')
  .description('does the same random things to a real etcd and to the in-process one')
  .option('--requests <number>', 'how many requests to send', Number, 1_000_000)
  .option('--seed <number>', 'where to begin', Number, 1)
  .option('--pairs <number>', 'how many of each to run at a time', Number, 4)
  .option('--path <path>', 'only the sequence that a report named')
  .option('--auth', 'users and what they may do, instead of everything else')
  .option('--no-shrink', 'report a difference as it was found')
  .parse();
const options = command.opts<ComparisonOptions & { shrink: boolean; auth?: boolean }>();
const begun = performance.now();
const seconds = (): number => (performance.now() - begun) / 1000;
const onProgress = (sent: number): void => {
  console.log(`${sent} requests, ${Math.round(sent / seconds())}/s`);
};
const { requests, counts, difference } = options.auth
  ? await compareEtcds(authentication, { ...options, onProgress })
  : await compareEtcds(everything, { ...options, onProgress });
for (const [what, count] of [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
  console.log(`${String(count).padStart(9)}  ${what}`);
}
console.log(`${requests} requests in ${seconds().toFixed(0)} s`);
const { expected } = options.auth ? authentication : everything;
const missed = tooSeldom(requests, counts, expected);
if (difference !== undefined) {
  console.log(difference);
  process.exitCode = 1;
} else if (options.path === undefined && missed.length > 0) {
  console.log(`inconclusive, as too little happened:\n${missed.join('\n')}`);
  process.exitCode = 1;
} else console.log('no difference');
