import { expect, it, vi } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import { HoldLostError, type TickContext } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();
const everySecond = '* * * * * *';
const patience = { timeout: 60_000, interval: 20 };

/** A name whose record goes after the test. */
function newName(): string {
  const name = etcd.name();
  const keys = [folderOf('schedule', name), name];
  etcd.defer(() =>
    etcd.admin.commit({ success: keys.map((key) => ({ delete: prefixRange(key) })) }),
  );
  return name;
}

it('a tick of every second is run once, whichever of three processes goes or is lost', async () => {
  const name = newName();
  const ran: TickContext[] = [];
  const schedules = [];
  for (let i = 0; i < 3; i += 1) {
    const schedule = (await etcd.connect()).schedule(name, everySecond, { catchUp: 'all' });
    schedules.push(schedule);
    void schedule.run(async (context) => {
      await context.txn().put(`${name}/${context.tick.getTime()}`, '').commit();
      ran.push(context);
    });
  }
  const more = (count: number): Promise<void> =>
    vi.waitFor(() => expect(ran.length).toBeGreaterThanOrEqual(count), patience);
  await more(2);
  const state = await schedules[0]?.inspect();
  await etcd.admin.revoke(state?.runner?.lease ?? 0n);
  await more(4);
  await schedules[0]?.close();
  await schedules[1]?.close();
  await more(6);
  await schedules[2]?.close();
  const seconds = ran.map(({ tick }) => tick.getTime() / 1_000);
  const [first = 0] = seconds;
  expect(seconds).toEqual(seconds.map((_, i) => first + i));
  expect(new Set(ran.map(({ token }) => token)).size).toBeGreaterThan(1);
});

it('what a job writes after its process has lost the schedule is refused', async () => {
  const name = newName();
  const coordinator = await etcd.connect();
  const schedule = coordinator.schedule(name, everySecond);
  const refused: unknown[] = [];
  void schedule.run(async ({ txn }) => {
    if (refused.length > 0) return;
    await etcd.admin.revoke(coordinator.session.id);
    await txn()
      .put(`${name}/x`, '')
      .commit()
      .catch((error: unknown) => refused.push(error));
  });
  await vi.waitFor(() => expect(refused).toEqual([expect.any(HoldLostError)]), patience);
  expect(await etcd.count(`${name}/`)).toBe(0);
  await vi.waitFor(async () => {
    expect((await schedule.inspect()).last).toMatchObject({ state: 'done' });
  }, patience);
  await schedule.close();
});
