import { defineConfig, type ViteUserConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.js';
import { workers } from './test/support/workers.js';

/** What needs no etcd, or one of its own choice: run once. */
const once = [
  'test/package.test.ts',
  'test/cache/mirror-staleness.test.ts',
  'test/chaos/*.test.ts',
  'test/cli/{barrier-commands,discovery-commands,inspect-command,interrupts,loss,membership-commands,namespace-commands,other-locks,queue-commands,serve-command,tenant-commands,usage}.test.ts',
  'test/core/{commit/span-set,events/{emitter,ring},line/{departures,neighbours},session/{key-names,lease,session-virtual},store/{key-span,keys}}.test.ts',
  'test/core/etcd3/{lookout,near-reads,rotation,stream,token,unix-endpoints,transport/*,wire/*}.test.ts',
  'test/core/time/{patience,signals,standstill}.test.ts',
  'test/core/watch/watch-{hostile,properties}.test.ts',
  'test/core/weak-values.test.ts',
  'test/differential/**/*.test.ts',
  'test/discovery/{balancing/*,registration-virtual}.test.ts',
  'test/election/schedule.test.ts',
  'test/embed/*.test.ts',
  'test/lock/exclusion-teeth.test.ts',
  'test/membership/{shares,partitioner-model}.test.ts',
  'test/prometheus/dashboard.test.ts',
  'test/queue/{backlog,delays,lane-order-properties,queue-combined,queue-garbage,queue-late}.test.ts',
  'test/embed/server/**/*.test.ts',
  'test/examples/*.test.ts',
  'test/grpc/*.test.ts',
  'test/testing/{*-teeth,record-events,start-test-etcd,wait-for}.test.ts',
];
/** What makes members of a cluster fail, which takes processes. */
const processes = ['test/**/*.processes.test.ts', 'test/embed/process/**/*.test.ts'];
/** An etcd in the test's own process; the oldest release of the real one that we support, and the newest. */
const engines = [
  { name: 'in-process', exclude: processes },
  // What meets connections, once more over the other transport.
  {
    name: 'over grpc',
    include: [
      'test/leaving.test.ts',
      'test/core/commit/exactly-once.test.ts',
      'test/core/etcd3/{connecting,discovery,etcd3-store,failover,login,status}.test.ts',
      'test/core/etcd3/*.processes.test.ts',
      'test/core/session/session.test.ts',
      'test/core/watch/{watch,watching,watch-chaos}.test.ts',
      'test/faults/*.test.ts',
      'test/lock/mutex-faults.test.ts',
      'test/lock/mutex.processes.test.ts',
    ],
  },
  // The command reaches etcd through the library only, and foreign clients are not ours.
  { name: 'etcd 3.4', exclude: [...once, 'test/{cli,e2e,faults}/**/*.test.ts'] },
  { name: 'etcd newest', exclude: once },
];

const config: ViteUserConfig = defineConfig({
  test: {
    // Each worker has an etcd of its own.
    maxWorkers: workers,
    sequence: { sequencer: LongestFirst },
    globalSetup: ['test/support/build.ts'],
    projects: engines.map(({ name, include = ['test/**/*.test.ts'], exclude = [] }) => ({
      test: {
        name,
        include,
        exclude,
        // To load the library anew for each file takes longer than most files. It keeps nothing of its own but by store and session.
        isolate: false,
        globalSetup: ['test/support/start-etcd.ts'],
        setupFiles: ['test/support/set-up.ts'],
        // For a machine that is busy elsewhere: who waits for what never comes fails later, and nobody else notices.
        testTimeout: 180_000,
        hookTimeout: 180_000,
        expect: { poll: { timeout: 60_000 } },
      },
    })),
    coverage: {
      provider: 'v8',
      include: ['src/**'],
      exclude: ['src/cli/**', 'src/**/index.ts'],
      thresholds: { lines: 90, branches: 85 },
    },
  },
});

export default config;
