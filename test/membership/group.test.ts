import { describe, expect, it } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import {
  ArgumentError,
  ClosedError,
  CoordinationError,
  type Group,
  WaitTimeoutError,
} from '../../src/index.js';
import { startTestEtcd, waitFor } from '../../src/testing/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { useEtcd } from '../support/etcd.js';
import { connectFailing, connectRefusable } from '../support/failing.js';

const etcd = useEtcd();

interface Host {
  readonly host: string;
}

async function groups(count: number): Promise<[Group<Host>, ...Group<Host>[]]> {
  const name = etcd.name('group');
  const coordinators = await etcd.connectAll(count);
  return coordinators.map((each) => each.group<Host>(name)) as [Group<Host>, ...Group<Host>[]];
}

describe('a group', () => {
  it('lists its members in the order in which they joined, with what they say of themselves', async () => {
    const [a, b] = await groups(2);
    const first = await b?.join({ host: 'b' });
    const second = await a.join({ host: 'a' }, { id: 'me / you' });
    const members = await a.inspect();
    expect(members.map(({ id, payload }) => [id, payload])).toEqual([
      [first?.id, { host: 'b' }],
      ['me / you', { host: 'a' }],
    ]);
    expect(members[1]).toMatchObject({ token: second.token, owner: { pid: process.pid } });
    await first?.leave();
    expect((await a.inspect()).map(({ id }) => id)).toEqual(['me / you']);
  });

  it('shows a live view, and tells of who joins, changes and leaves', async () => {
    const [a, b] = await groups(2);
    using members = a.members();
    const told: string[] = [];
    members
      .on('joined', ({ payload, token }) => {
        told.push(`+${payload.host}`);
        expect(members.list().some((member) => member.token === token)).toBe(true);
      })
      .on('changed', ({ payload }) => told.push(`~${payload.host}`))
      .on('left', ({ payload }) => told.push(`-${payload.host}`));
    await members.ready();
    expect([...members]).toEqual([]);
    const membership = await b?.join({ host: 'b' }, { id: 'b' });
    await waitFor(() => members.size === 1);
    const before = members.list();
    await membership?.update({ host: 'c' });
    await waitFor(() => members.get('b')?.payload.host === 'c');
    expect(before[0]?.payload.host).toBe('b');
    expect(members.get('b')?.token).toBe(membership?.token);
    expect(members.list()).toBe(members.list());
    await membership?.leave();
    await waitFor(() => told.length === 3);
    expect(told).toEqual(['+b', '~c', '-c']);
    expect(members.state).toBe('current');
    expect(members.staleness).toBeLessThan(Infinity);
  });

  it('keeps what it shows while etcd refuses to have it read, says so once, and goes on', async () => {
    const name = etcd.name('group');
    const { coordinator, refuse, allow } = await connectRefusable(etcd);
    const group = (await etcd.connect()).group<Host>(name);
    await group.join({ host: 'a' }, { id: 'a' });
    using members = coordinator.group<Host>(name).members({ staleAfter: 200 });
    const told: string[] = [];
    members
      .on('stale', () => told.push('stale'))
      .on('error', (error) => told.push((error as Error).name));
    await members.ready();
    const tries = refuse();
    await group.join({ host: 'b' }, { id: 'b' });
    await waitFor(() => tries.size > 2 && told.includes('stale'));
    expect(told).toEqual(['RefusedError', 'stale']);
    expect([members.state, members.size]).toEqual(['failed', 1]);
    allow();
    await waitFor(() => members.size === 2 && members.state === 'current');
    expect(members.error).toBe(undefined);
  });

  it('gives a loop who is there, and each change with all members', async () => {
    const [a] = await groups(1);
    using members = a.members();
    const seen: (readonly string[])[] = [];
    const one = await a.join({ host: '1' }, { id: '1' });
    for await (const { members: all, joined, left } of members.watch()) {
      seen.push(all.map(({ id }) => id));
      if (seen.length === 1) await a.join({ host: '2' }, { id: '2' });
      else if (joined[0]?.id === '2') await one.leave();
      else if (left[0]?.id === '1') break;
    }
    expect(seen).toEqual([['1'], ['1', '2'], ['2']]);
  });

  it('has a member join again under its ID when its session was lost, and tells it', async () => {
    const name = etcd.name('group');
    const coordinator = await etcd.connect();
    const membership = await coordinator.group<Host>(name).join({ host: 'a' }, { id: 'a' });
    const told: string[] = [];
    membership
      .on('lost', ({ reason }) => told.push(reason))
      .on('joined', ({ id }) => told.push(`joined ${id}`));
    const { token, signal } = membership;
    await membership.update({ host: 'b' });
    await etcd.admin.revoke(coordinator.session.id);
    await waitFor(() => told.includes('joined a'));
    expect(signal.aborted).toBe(true);
    expect(membership.signal.aborted).toBe(false);
    expect(membership.token).toBeGreaterThan(token ?? 0n);
    const [member] = await coordinator.group<Host>(name).inspect();
    expect(member).toMatchObject({ id: 'a', payload: { host: 'b' }, token: membership.token });
    expect(told).toEqual([expect.stringMatching(/revoked|deleted/), 'joined a']);
  });

  it('has a member whose key somebody deleted join again', async () => {
    const name = etcd.name('group');
    const group = (await etcd.connect()).group<Host>(name);
    const membership = await group.join({ host: 'a' });
    const { token = 0n } = membership;
    await etcd.admin.commit({ success: [{ delete: prefixRange(folderOf('group', name)) }] });
    await waitFor(() => (membership.token ?? 0n) > token);
    expect((await group.inspect())[0]?.token).toBe(membership.token);
  });

  it('has one member for an ID, here and elsewhere, and the next when it has gone', async () => {
    const [a, ...more] = await groups(2);
    const both = [a, ...more];
    const first = await a.join({ host: 'a' }, { id: 'same' });
    for (const group of both) {
      const join = group.join({ host: 'x' }, { id: 'same', timeout: 50 });
      await expect(join).rejects.toThrow(WaitTimeoutError);
    }
    const others = both.map((group) => group.join({ host: 'x' }, { id: 'same' }));
    await first.leave();
    const second = await Promise.race(others);
    expect((await a.inspect()).map(({ token }) => token)).toEqual([second.token]);
    await second.leave();
    const tokens = (await Promise.all(others)).map(({ token }) => token);
    expect(tokens).toContain((await a.inspect())[0]?.token);
  });

  it('waits for who writes over its key to go', async () => {
    const [a] = await groups(1);
    const membership = await a.join({ host: 'a' }, { id: 'a' });
    const { token, signal } = membership;
    const told: string[] = [];
    membership
      .on('waiting', () => told.push('waiting'))
      .on('lost', (event) => told.push(`lost ${event.token === token}`))
      .on('joined', () => told.push('joined'));
    const key = `${folderOf('group', a.name)}a`;
    await etcd.admin.commit({ success: [{ put: { key, value: '' } }] });
    await waitFor(() => told.includes('waiting'));
    expect([membership.token, signal.aborted]).toEqual([undefined, true]);
    const update = membership.update({ host: 'b' });
    await etcd.admin.commit({ success: [{ delete: { key } }] });
    await update;
    expect(told).toEqual(['lost true', 'waiting', 'joined']);
    expect(await a.inspect()).toMatchObject([{ payload: { host: 'b' }, token: membership.token }]);
  });

  it('is written once, whatever becomes of requests and replies', async () => {
    const { coordinator, below } = await connectFailing(etcd);
    const group = coordinator.group<Host>(etcd.name('group'));
    const hosts = async (): Promise<string[]> =>
      (await group.inspect()).map(({ payload }) => payload.host);
    below.plan('comes late');
    const membership = await group.join({ host: 'a' });
    below.plan('loses its reply');
    await membership.update({ host: 'b' });
    expect(await hosts()).toEqual(['b']);
    below.plan('comes late');
    await Promise.all([membership.update({ host: 'c' }), membership.update({ host: 'd' })]);
    for (const late of below.arrive) await late();
    expect(await hosts()).toEqual(['d']);
    expect((await group.inspect())[0]?.token).toBe(membership.token);
    below.plan('loses its reply');
    await membership.leave();
    for (const late of below.arrive) await late();
    expect(await hosts()).toEqual([]);
  });

  it('keeps what it said where etcd does not take what it says now', async () => {
    const [a] = await groups(1);
    const membership = await a.join({ host: 'a' }, { id: 'a' });
    await expect(membership.update({ host: 'x'.repeat(3_000_000) })).rejects.toThrow(
      CoordinationError,
    );
    const { token = 0n } = membership;
    await etcd.admin.commit({ success: [{ delete: prefixRange(folderOf('group', a.name)) }] });
    await waitFor(() => (membership.token ?? 0n) > token);
    expect((await a.inspect()).map(({ payload }) => payload.host)).toEqual(['a']);
  });

  it('knows that it is no member before others can, also where nobody was told', async () => {
    const own = await startTestEtcd({ time: 'virtual' });
    try {
      const coordinator = await own.connect({ session: { ttl: 5_000 } });
      const membership = await coordinator.group<Host>('g').join({ host: 'a' });
      const { signal } = membership;
      const { clock } = coordinator.session;
      // No timer of ours comes to run.
      const now = clock.now();
      clock.now = () => now + 4_500;
      expect([membership.token, signal.aborted]).toEqual([undefined, true]);
    } finally {
      await own.stop();
    }
  });

  it('ends with the session', async () => {
    const coordinator = await etcd.connect();
    const group = coordinator.group<Host>(etcd.name('group'));
    const membership = await group.join({ host: 'a' });
    const { signal } = membership;
    const waiting = group.join({ host: 'b' }, { id: membership.id });
    const [error] = await Promise.all([rejection(waiting), coordinator.close()]);
    expect(error).toBeInstanceOf(ClosedError);
    expect([membership.token, signal.aborted]).toEqual([undefined, true]);
    await expect(membership.update({ host: 'b' })).rejects.toThrow(ClosedError);
    await membership.leave();
  });

  it('shows what can be read of what others wrote', async () => {
    const [a] = await groups(1);
    using members = a.members();
    const keys = ['x', 'x/1', '', '%', '%2f'].map((key) => folderOf('group', a.name) + key);
    const success = keys.map((key) => ({ put: { key, value: 'no JSON' } }));
    await etcd.admin.commit({ success });
    await waitFor(() => members.state === 'current' && members.size === 1);
    expect(members.get('x')).toMatchObject({ payload: undefined, owner: undefined, lease: 0n });
  });

  it('refuses an empty ID, and what JSON cannot carry', async () => {
    const [a] = await groups(1);
    await expect(a.join({ host: '' }, { id: '' })).rejects.toThrow(ArgumentError);
    await expect(a.join(1n as never)).rejects.toThrow('payload');
    const membership = await a.join({ host: '' });
    await membership.leave();
    await expect(membership.update({ host: 'x' })).rejects.toThrow(ClosedError);
  });
});
