import { expect, it, vi } from 'vitest';
import { systemClock } from '../../src/core/time/clock.js';
import { ConflictError, type KeyValue, type Queue } from '../../src/index.js';
import { Delays } from '../../src/queue/delays.js';
import type { Tools } from '../../src/queue/desk.js';
import { QueueKeys } from '../../src/queue/queue-keys.js';
import { QueueTime } from '../../src/queue/queue-time.js';
import { Rests } from '../../src/queue/rests.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();
const soon = { timeout: 60_000 };

async function queue(): Promise<{ jobs: Queue<number>; errors: unknown[] }> {
  const jobs = (await etcd.connect()).queue<number>(etcd.name('queue'));
  const errors: unknown[] = [];
  jobs.on('error', ({ error }) => errors.push(error));
  return { jobs, errors };
}

async function write(jobs: Queue<number>, key: string, value: string): Promise<void> {
  const put = { key: `queue/${jobs.name}/${key}`, value };
  await etcd.admin.commit({ success: [{ put }] });
}

it.each([
  ['delayed!repeats/x', '{}\n1'],
  ['delayed!repeats/x', '{"spec":{"cron":"* * * * *","timeZone":"UTC"}}\n1'],
  ['delayed!agesdead', '5'],
])('what is not ours keeps no job from coming in its time: %s', async (key, value) => {
  const { jobs, errors } = await queue();
  await write(jobs, key, value);
  await jobs.put(1, { delay: 10 });
  expect(await jobs.next(soon)).toMatchObject({ value: 1 });
  expect(errors).toEqual([]);
});

it('a record that is not ours, with a time after which it is dropped, keeps no job from coming', async () => {
  const { jobs, errors } = await queue();
  const { id } = await jobs.put(1, { ttl: 10 });
  await write(jobs, `ready/${id}`, 'what?');
  await jobs.pause();
  const stop = new AbortController();
  const next = jobs.next({ signal: stop.signal });
  for (let i = 0; i < 3; i += 1) {
    await jobs.put(2, { delay: 10 });
    const isDelayed = (): Promise<number> => etcd.count(`queue/${jobs.name}/delayed/`);
    await vi.waitFor(async () => expect(await isDelayed()).toBe(0), soon);
  }
  expect(errors).toEqual([]);
  stop.abort();
  await expect(next).rejects.toThrow();
});

const keys = new QueueKeys('jobs');
const tools = {
  keys,
  time: new QueueTime(systemClock, keys.time, 0),
  session: { clock: systemClock },
} as unknown as Tools;

// A keeper that went by such a time would ask what it is for ever.
it.each([
  ['delays', new Delays(tools), keys.delayed, '{"delay":"soon"}\n1'],
  ['delays', new Delays(tools), keys.delayed, '{"notBefore":"tomorrow"}\n1'],
  ['delays', new Delays(tools), keys.delayed, '{"due":"x"}\n1'],
  ['rests', new Rests(tools), keys.rests, '{"delay":"soon"}'],
] as const)('what says no time is none of the %s', (_, duty, folder, value) => {
  const key = `${folder}x`;
  const kv = { key: Buffer.from(key), value: Buffer.from(value), modRevision: 1n } as KeyValue;
  expect(() => duty.put(key, kv)).toThrow(ConflictError);
  expect(duty.left()).toBe(Infinity);
});
