import { execFileSync } from 'node:child_process';

// What the benchmark of queues compares with, from Debian's packages; as root. Neither is to start: each benchmark
// starts its own.
const apt = (...args: readonly string[]): void => {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  execFileSync('apt-get', args, { env, stdio: 'inherit' });
};
apt('update', '-q');
apt('install', '-y', '-q', '--no-install-recommends', 'redis-server', 'postgresql');
