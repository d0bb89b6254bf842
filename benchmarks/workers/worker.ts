import { calls } from './calls.js';
import { discovery } from './discovery.js';
import { embedMillion } from './embed-million.js';
import { embedPace } from './embed-pace.js';
import { embedServe } from './embed-serve.js';
import { embedStart } from './embed-start.js';
import { embedWatches } from './embed-watches.js';
import { handOff } from './hand-off.js';
import { idle } from './idle.js';
import { mirror } from './mirror.js';
import { namespace } from './namespace.js';
import { passing } from './passing.js';
import { picks } from './picks.js';
import { put } from './put.js';
import { queueConsumer } from './queue-consumer.js';
import { queueDepth } from './queue-depth.js';
import { queueDrain } from './queue-drain.js';
import { queueProcesses } from './queue-processes.js';
import { queuePut } from './queue-put.js';
import { queueWait } from './queue-wait.js';
import { rpcs } from './rpcs.js';
import { electionLeader, takeOver } from './take-over.js';
import { uncontended } from './uncontended.js';
import { watchLatency } from './watch-latency.js';
import { watchResync } from './watch-resync.js';

/** A process that measures one thing once: `worker <task> <parameters as JSON>` prints one JSON value. */
const tasks: Readonly<Record<string, (parameters: never) => Promise<unknown>>> = {
  calls,
  discovery,
  electionLeader,
  embedMillion,
  embedPace,
  embedServe,
  embedStart,
  embedWatches,
  handOff,
  idle,
  mirror,
  namespace,
  passing,
  picks,
  put,
  queueConsumer,
  queueDepth,
  queueDrain,
  queueProcesses,
  queuePut,
  queueWait,
  rpcs,
  takeOver,
  uncontended,
  watchLatency,
  watchResync,
};

const [name = '', parameters = ''] = process.argv.slice(2);
const task = tasks[name];
if (!task) throw new Error(`no task is called "${name}"`);
console.log(JSON.stringify(await task(JSON.parse(parameters) as never)));
