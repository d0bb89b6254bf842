import { constants } from 'node:os';
import { paint } from './format.js';
import { readOptions } from './options.js';
import { run } from './run.js';
import { Stage } from './stage.js';

const { seconds, ...place } = readOptions(process.argv);
const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    const status = 128 + constants.signals[signal];
    // Who asks twice does not want to wait for the end of anything.
    if (interrupt.signal.aborted) process.exit(status);
    process.exitCode = status;
    interrupt.abort();
  });
}
// The reader of a pipe may leave before the end, as `head` does.
process.stdout.on('error', () => interrupt.abort());

try {
  await using stage = await Stage.set(place, interrupt.signal);
  console.log(paint.bold('etcd-recipes'), `- 4 processes, 1 lock, ${stage.description}\n`);
  const allTrue = await run(seconds * 1_000, stage, interrupt.signal);
  process.exitCode = allTrue ? 0 : 1;
} catch (error) {
  process.exitCode ??= 1;
  console.error(interrupt.signal.aborted ? 'stopped' : (error as Error).message);
}
