import { embedMillion } from './embed-million.js';
import { embedPace } from './embed-pace.js';
import { embedServe } from './embed-serve.js';
import { embedStart } from './embed-start.js';
import { embedWatches } from './embed-watches.js';
import { handOff } from './hand-off.js';
import { idle } from './idle.js';
import { locks } from './locks.js';
import { passing } from './passing.js';
import { put } from './put.js';
import { rpcs } from './rpcs.js';
import { uncontended } from './uncontended.js';
import { watchLatency } from './watch-latency.js';
import { watchResync } from './watch-resync.js';

/** A process that measures one thing once: `worker <task> <parameters as JSON>` prints one JSON value. */
const tasks: Readonly<Record<string, (parameters: never) => Promise<unknown>>> = {
  embedMillion,
  embedPace,
  embedServe,
  embedStart,
  embedWatches,
  handOff,
  idle,
  locks,
  passing,
  put,
  rpcs,
  uncontended,
  watchLatency,
  watchResync,
};

const [name = '', parameters = ''] = process.argv.slice(2);
const task = tasks[name];
if (!task) throw new Error(`no task is called "${name}"`);
console.log(JSON.stringify(await task(JSON.parse(parameters) as never)));
