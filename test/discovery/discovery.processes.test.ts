import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import type { Directory } from '../../src/index.js';
import { waitFor } from '../../src/testing/wait-for.js';
import { built } from '../support/built.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();
const patience = { timeout: 60_000 };

/** A process that has registered, and a directory elsewhere that shows it. */
async function setUp(): Promise<{ process: ChildProcess; directory: Directory; events: string[] }> {
  const service = (await etcd.connect()).service(etcd.name('service'));
  const script = built('test/support/registrant-process.ts');
  const child = fork(script, [etcd.endpoint, service.name]);
  etcd.defer(() => child.kill('SIGKILL'));
  await once(child, 'message');
  const directory = service.directory();
  await directory.ready();
  expect(directory.instances().map(({ address }) => address)).toEqual(['second']);
  const events: string[] = [];
  directory
    .on('added', ({ address }) => events.push(`added ${address}`))
    .on('removed', ({ address }) => events.push(`removed ${address}`));
  return { process: child, directory, events };
}

it('shows an instance no more when its process was killed', async () => {
  const { process, directory, events } = await setUp();
  process.kill('SIGKILL');
  await waitFor(() => directory.instances().length === 0, patience);
  expect(events.at(-1)).toBe('removed second');
});

it('shows an instance again, as it was updated last, when its process stood still until its lease had run out', async () => {
  const { process, directory, events } = await setUp();
  process.kill('SIGSTOP');
  await waitFor(() => directory.instances().length === 0, patience);
  process.kill('SIGCONT');
  await waitFor(() => directory.instances().length === 1, patience);
  expect(events.slice(-2)).toEqual(['removed second', 'added second']);
  expect(directory.instances().map(({ id }) => id)).toEqual(['a']);
});
