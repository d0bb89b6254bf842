import type { Benchmark } from './benchmark.js';
import { comparePace } from './embed-pace.js';

const atLeast = 20;

/** Calls through `store()`, against calls over a connection to a server in another process. */
function direct(operation: 'put' | 'read', callers: number): Benchmark {
  const how = callers === 1 ? 'one after the other' : `${callers} callers`;
  return {
    name: `embed-direct-${operation}-${callers}`,
    what: `${operation === 'put' ? 'Puts' : 'Reads'} through \`store()\`, ${how}`,
    target: `≥ ${atLeast} × over a connection`,
    alone: true,
    run: (bench) =>
      bench.programs.serving(1, ([endpoint = '']) =>
        comparePace(bench, {
          contenders: [{ through: 'direct' }, { through: 'store', endpoint }],
          operation,
          callers,
          control: 'over a connection',
          atLeast,
        }),
      ),
  };
}

/** Writes and reads, one caller and many. */
export const embedDirect: readonly Benchmark[] = [
  direct('put', 1),
  direct('put', 64),
  direct('read', 1),
  direct('read', 64),
];
