import { embedMillion } from './embed-million.js';
import { embedPace } from './embed-pace.js';
import { embedServe } from './embed-serve.js';
import { embedStart } from './embed-start.js';
import { embedWatches } from './embed-watches.js';
import { handOff } from './hand-off.js';
import { passing } from './passing.js';
import { rpcs } from './rpcs.js';
import { uncontended } from './uncontended.js';

/** A process that measures one thing once: `worker <task> <parameters as JSON>` prints one JSON value. */
const tasks: Readonly<Record<string, (parameters: never) => Promise<unknown>>> = {
  embedMillion,
  embedPace,
  embedServe,
  embedStart,
  embedWatches,
  handOff,
  passing,
  rpcs,
  uncontended,
};

const [name = '', parameters = ''] = process.argv.slice(2);
const task = tasks[name];
if (!task) throw new Error(`no task is called "${name}"`);
console.log(JSON.stringify(await task(JSON.parse(parameters) as never)));
