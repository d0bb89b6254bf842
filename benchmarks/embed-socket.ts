import type { Benchmark } from './benchmark.js';
import { comparePace } from './embed-pace.js';

const atLeast = 0.9;
const clients = { store: 'by our client', raw: 'by bare @grpc/grpc-js' } as const;

/** Puts to a server in a process of its own, against etcd. */
function socket(through: keyof typeof clients, callers: number): Benchmark {
  return {
    name: `embed-put-${callers}${through === 'raw' ? '-raw' : ''}`,
    what: `Puts ${clients[through]}, ${callers === 1 ? 'one after the other' : `${callers} callers`}`,
    target: `≥ ${atLeast} × etcd`,
    run: (bench) =>
      bench.programs.serving(1, ([endpoint = '']) =>
        comparePace(bench, {
          contenders: [
            { through, endpoint },
            { through, endpoint: bench.endpoint },
          ],
          operation: 'put',
          callers,
          control: 'etcd',
          atLeast,
        }),
      ),
  };
}

/** One caller and many, with our client and with none. */
export const embedSocket: readonly Benchmark[] = [
  socket('store', 1),
  socket('store', 64),
  socket('raw', 1),
  socket('raw', 64),
];
