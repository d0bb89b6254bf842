import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { built } from '../support/built.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();

async function run(example: string): Promise<string[]> {
  const args = [built(`examples/${example}.ts`), etcd.endpoint];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return stdout.trim().split('\n');
}

it('locks in many ways', async () => {
  expect(await run('locks')).toEqual([
    'readers: 2, writer: not granted',
    'downgraded: true',
    'permits: two held, two more: not granted',
    'both held, one of them alone: not granted',
    'went on together: 0, 1, 2',
    'went on together: 0, 1, 2',
    'began and ended together: a, b',
  ]);
});

it('shares values', async () => {
  expect(await run('values')).toEqual([
    'counted: 100',
    'numbers: 25',
    'level: 3',
    'lifted: true',
    'still waited for: 1, 0',
  ]);
});

it('runs a job once per tick', async () => {
  expect(await run('schedule')).toEqual([
    'each tick run once: true',
    'the last one: done; the next is later: true',
  ]);
});

it('works on jobs', async () => {
  expect(await run('queue')).toEqual([
    'results: 20',
    'in order: 1, 2, 3',
    'balances: 3, 10',
    'booked: 4',
  ]);
});

it('finds services, members and shards', async () => {
  expect(await run('services')).toEqual([
    'answered: true',
    'member: 4 cores',
    'shards: 0, 1, 2, 3',
  ]);
});
