import { defineConfig, type ViteUserConfig } from 'vitest/config';

/** The oldest etcd we support, and the newest. The name is also the release line that is fetched. */
const releases = ['3.4', 'newest'];

const config: ViteUserConfig = defineConfig({
  test: {
    // Each file starts processes of its own, and machines have few processors.
    maxWorkers: 1,
    projects: releases.map((release) => ({
      test: {
        name: `etcd ${release}`,
        include: ['test/**/*.test.ts'],
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
