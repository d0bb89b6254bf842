import { describe, expect, it } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import { useEtcd } from '../support/etcd.js';
import { type Cli, cliOn, keys } from './support/cli.js';

const etcd = useEtcd();
const cli = cliOn(etcd);

/** A name whose keys go after the test. */
function newName(kind: string): string {
  const name = etcd.name();
  etcd.defer(() => etcd.admin.commit({ success: [{ delete: prefixRange(folderOf(kind, name)) }] }));
  return name;
}

async function printedBy(args: readonly string[], status = 0): Promise<string> {
  const run = cli(args);
  expect(await run.ended).toBe(status);
  return run.stdout;
}

async function shown(kind: string, name: string): Promise<unknown> {
  return JSON.parse(await printedBy(['inspect', name, '--kind', kind, '--json']));
}

describe('gate', () => {
  it('has others wait while it is raised', async () => {
    const name = newName('gate');
    expect(await printedBy(['gate', 'raise', name])).toBe('raised   true\nchanged  true\n');
    expect(await printedBy(['gate', 'raise', name])).toBe('raised   true\nchanged  false\n');
    expect(await shown('gate', name)).toMatchObject({
      raised: true,
      by: { pid: expect.any(Number) as number },
    });
    await printedBy(['gate', 'wait', name, '--wait', '50'], 75);
    const waiter = cli(['gate', 'wait', name, '--json']);
    expect(await printedBy(['gate', 'lift', name])).toBe('raised   false\nchanged  true\n');
    expect(await waiter.ended).toBe(0);
    expect(JSON.parse(waiter.stdout)).toEqual({ name, raised: false });
    expect(await shown('gate', name)).toEqual({ name, raised: false, by: null });
  });
});

describe('latch', () => {
  it('opens when so many have counted down', async () => {
    const name = newName('latch');
    const count = ['--count', '2'];
    const waiter = cli(['latch', 'wait', name, ...count]);
    for (const party of ['a', 'a']) {
      const args = ['latch', 'count-down', name, ...count, '--party', party];
      expect(await printedBy(args)).toBe('left  1\n');
    }
    expect(await shown('latch', name)).toEqual({ name, count: 2, parties: ['a'] });
    await printedBy(['latch', 'wait', name, ...count, '--wait', '50'], 75);
    await printedBy(['latch', 'count-down', name, '--count', '3'], 69);
    expect(await printedBy(['latch', 'count-down', name, ...count])).toBe('left  0\n');
    expect(await waiter.ended).toBe(0);
    await printedBy(['latch', 'reset', name, ...count]);
    expect(await shown('latch', name)).toEqual({ name, count: null, parties: [] });
  });
});

describe('barrier', () => {
  const partiesOf = (name: string): string =>
    `${folderOf('cyclic-barrier', name)}000000000001/parties/`;

  it('ends when so many are there', async () => {
    const name = newName('cyclic-barrier');
    const args = ['barrier', name, '--count', '2', '--json'];
    const first = cli([...args, '--label', 'one']);
    await keys(etcd, partiesOf(name), 1);
    expect(await shown('cyclic-barrier', name)).toMatchObject({
      generation: 1,
      count: 2,
      waiting: [{ label: 'one' }],
    });
    const second = cli(args);
    const passed = async (run: Cli): Promise<unknown> => {
      expect(await run.ended).toBe(0);
      return JSON.parse(run.stdout);
    };
    expect(await passed(first)).toEqual({ name, generation: 1, index: 0 });
    expect(await passed(second)).toEqual({ name, generation: 1, index: 1 });
  });

  it('that breaks, because one is interrupted, has the status of one that nobody comes to', async () => {
    const name = newName('cyclic-barrier');
    const args = ['barrier', name, '--count', '3'];
    const [gone, left] = [cli(args), cli(args)];
    await keys(etcd, partiesOf(name), 2);
    gone.signal('SIGTERM');
    expect(await gone.ended).toBe(143);
    expect(await left.ended).toBe(75);
    expect(left.stderr).toContain('is broken by');
    await printedBy([...args, '--wait', '50'], 75);
  });
});

describe('values', () => {
  it('are shown', async () => {
    const coordinator = await etcd.connect();
    const name = newName('counter');
    for (const kind of ['sequence', 'value']) {
      etcd.defer(() =>
        etcd.admin.commit({ success: [{ delete: prefixRange(folderOf(kind, name)) }] }),
      );
    }
    await coordinator.counter(name).add(7n);
    expect(await printedBy(['inspect', name, '--kind', 'counter'])).toBe('value  7\n');
    await coordinator.sequence(name).next();
    expect(await shown('sequence', name)).toEqual({ name, last: '1' });
    const revision = String(await coordinator.value<object>(name).set({ level: 3 }));
    expect(await shown('value', name)).toEqual({ name, value: { level: 3 }, revision });
    const text = await printedBy(['inspect', name, '--kind', 'value']);
    expect(text).toBe(`value     {"level":3}\nrevision  ${revision}\n`);
  });

  it('are those of a schedule, too', async () => {
    const name = newName('schedule');
    const kind = ['inspect', name, '--kind', 'schedule'];
    expect(await printedBy(kind)).toBe(`cron  -\nnext  -\nlast  -\nnobody runs ${name}\n`);
    const schedule = (await etcd.connect({ session: { label: 'me' } })).schedule(name, '@yearly');
    void schedule.run(() => {});
    await keys(etcd, folderOf('schedule', name), 2);
    expect(await shown('schedule', name)).toMatchObject({
      cron: '@yearly',
      next: expect.stringMatching(/^\d{4}-01-01T00:00:00.000Z$/) as string,
      last: null,
      runner: { label: 'me' },
      waiters: [],
    });
    expect(await printedBy(kind)).toMatch(
      /^cron {2}@yearly\nnext {2}\S+\nlast {2}-\nPOSITION .*\nrunner /,
    );
    await schedule.close();
  });

  it('know nothing of a layout', async () => {
    await printedBy(['inspect', 'x', '--kind', 'counter', '--layout', 'go'], 64);
  });
});
