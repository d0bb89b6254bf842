import { defineConfig, type ViteUserConfig } from 'vitest/config';
import { workers } from './test/support/workers.js';

/** What needs no etcd, or one of its own choice: run once. */
const once = [
  'test/package.test.ts',
  'test/chaos/*.test.ts',
  'test/cli/serve-command.test.ts',
  'test/core/{departures,keys,lease,patience,rotation,session-virtual,signals,unix-endpoints}.test.ts',
  'test/core/watch-{hostile,properties}.test.ts',
  'test/core/transport*.test.ts',
  'test/differential/**/*.test.ts',
  'test/embed/*.test.ts',
  'test/embed/server/**/*.test.ts',
  'test/examples/*.test.ts',
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
    include: ['test/core/{connecting,etcd3-store,failover,limits,watch}.test.ts'],
  },
  // The command reaches etcd through the library only, and foreign clients are not ours.
  { name: 'etcd 3.4', exclude: [...once, 'test/{cli,e2e,faults}/**/*.test.ts'] },
  { name: 'etcd newest', exclude: once },
];

const config: ViteUserConfig = defineConfig({
  test: {
    // Each worker has an etcd of its own.
    maxWorkers: workers,
    projects: engines.map(({ name, include = ['test/**/*.test.ts'], exclude = [] }) => ({
      test: {
        name,
        include,
        exclude,
        globalSetup: ['test/support/start-etcd.ts'],
        setupFiles: ['test/support/set-up.ts'],
        testTimeout: 60_000,
        hookTimeout: 60_000,
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
