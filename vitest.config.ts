import { defineConfig, type ViteUserConfig } from 'vitest/config';

/** The oldest etcd we support, and the newest. The name is also the release line that is fetched. */
const releases = ['3.4', 'newest'];

const config: ViteUserConfig = defineConfig({
  test: {
    // Most tests wait for etcd rather than compute.
    maxWorkers: 2,
    projects: releases.map((release) => ({
      test: {
        name: `etcd ${release}`,
        include: ['test/**/*.test.ts'],
        globalSetup: ['test/support/start-etcd.ts'],
        setupFiles: ['test/support/set-up.ts'],
        testTimeout: 30_000,
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
