import { afterAll, expect, it, vi } from 'vitest';
import { type Election, type LeaderChange, type Term, WaitTimeoutError } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { buildGoClient, type GoProcess } from './support/go-client.js';

const etcd = useEtcd();
const client = await buildGoClient();
afterAll(() => client.remove());
const patience = { timeout: 60_000, interval: 10 };

/** An election in which a candidate of ours and one of Go may stand. */
async function setUp(): Promise<{ election: Election; go: GoProcess }> {
  const name = etcd.name();
  const election = (await etcd.connect()).election(name, { layout: 'go' });
  return { election, go: await stand(name) };
}

async function stand(name: string): Promise<GoProcess> {
  const go = client.stand(etcd.endpoint, name);
  etcd.defer(() => go.process.kill('SIGKILL'));
  await says(go, 'ready');
  return go;
}

/** Waits until it says so next. */
async function says(go: GoProcess, line: string): Promise<void> {
  await vi.waitFor(() => expect(go.lines.at(-1)).toBe(line), patience);
}

async function standing(election: Election, count: number): Promise<void> {
  await vi.waitFor(async () => {
    expect((await election.inspect()).candidates.length).toBe(count);
  }, patience);
}

it('our candidate waits while Go’s leads, and leads when that one resigns', async () => {
  const { election, go } = await setUp();
  go.tell('campaign from Go');
  await says(go, 'elected from Go');
  const leader = await election.leader();
  expect(leader?.value).toBe('from Go');
  expect(await election.tryCampaign('no')).toBe(undefined);
  await expect(election.campaign('no', { timeout: 100 })).rejects.toThrow(WaitTimeoutError);
  const wait = election.campaign('ours');
  await standing(election, 1);
  go.tell('resign');
  const term = await wait;
  expect(term.token).toBeGreaterThan(leader?.token ?? 0n);
  go.tell('leader');
  await says(go, `leader ${term.key} ours`);
  expect(await term.resign()).toBe(true);
});

it('our candidate leads when the process of Go’s leader is killed and its session dies', async () => {
  const { election, go } = await setUp();
  go.tell('campaign from Go');
  await says(go, 'elected from Go');
  const wait = election.campaign('ours');
  await standing(election, 1);
  go.process.kill('SIGKILL');
  const term = await wait;
  expect((await election.leader())?.token).toBe(term.token);
  expect(await term.resign()).toBe(true);
});

it('Go’s candidate waits while ours leads, and leads when ours resigns, or its session dies', async () => {
  const { election, go } = await setUp();
  const coordinator = await etcd.connect();
  const ours = coordinator.election(election.name, { layout: 'go' });
  const ends = [
    (term: Term) => term.resign(),
    () => etcd.admin.revoke(coordinator.session.id),
  ] as const;
  for (const [i, end] of ends.entries()) {
    const term = await ours.campaign('ours');
    go.tell(`campaign ${i}`);
    await standing(election, 1);
    go.tell('leader');
    await says(go, `leader ${term.key} ours`);
    await end(term);
    await says(go, `elected ${i}`);
    const leader = await election.leader();
    expect(leader?.value).toBe(`${i}`);
    expect(leader?.token).toBeGreaterThan(term.token);
    go.tell('resign');
    await says(go, 'resigned');
  }
});

it('either sees every leader of the other, and what it proclaims', async () => {
  const { election, go } = await setUp();
  const observer = await stand(election.name);
  const seen: LeaderChange[] = [];
  const controller = new AbortController();
  etcd.defer(() => controller.abort());
  const watch = async (): Promise<void> => {
    for await (const change of election.watch({ signal: controller.signal })) seen.push(change);
  };
  watch().catch(() => {});
  await vi.waitFor(() => expect(seen.length).toBe(1), patience);
  observer.tell('observe');

  /** What both have seen last. */
  const see = async (value: string): Promise<void> => {
    await says(observer, `sees ${value}`);
    await vi.waitFor(() => expect(seen.at(-1)?.leader?.value).toBe(value), patience);
  };
  const term = await election.campaign('ours');
  await see('ours');
  await term.proclaim('ours, changed');
  await see('ours, changed');
  go.tell('campaign from Go');
  await standing(election, 1);
  expect(await term.resign()).toBe(true);
  await see('from Go');
  go.tell('proclaim from Go, changed');
  await see('from Go, changed');
  const wait = election.campaign('ours again');
  await standing(election, 1);
  go.tell('resign');
  const next = await wait;
  await see('ours again');
  await next.resign();
  await vi.waitFor(() => expect(seen.at(-1)?.leader).toBe(undefined), patience);
  const values = seen.map(({ leader }) => leader?.value);
  expect(values).toEqual([
    undefined,
    'ours',
    'ours, changed',
    'from Go',
    'from Go, changed',
    'ours again',
    undefined,
  ]);
  // What is proclaimed does not make another term of it.
  const tokens = seen.flatMap(({ leader }) => leader?.token ?? []);
  expect(tokens[1]).toBe(tokens[0]);
  expect(tokens[3]).toBe(tokens[2]);
});

it('who came first leads first, whichever it is, and who has resigned proclaims nothing', async () => {
  const { election, go } = await setUp();
  const others = [go, await stand(election.name)];
  const leader = await election.campaign('first');
  const [order, terms]: [string[], Promise<void>[]] = [['first'], []];
  const campaign = async (value: string): Promise<void> => {
    const term = await election.campaign(value);
    order.push(value);
    await term.resign();
  };
  for (const [i, other] of others.entries()) {
    terms.push(campaign(`ours ${i}`));
    await standing(election, 2 * i + 1);
    other.tell(`campaign Go ${i}`);
    await standing(election, 2 * i + 2);
  }
  expect((await election.inspect()).candidates.map(({ value }) => value)).toEqual([
    'ours 0',
    'Go 0',
    'ours 1',
    'Go 1',
  ]);
  await leader.resign();
  for (const [i, other] of others.entries()) {
    await says(other, `elected Go ${i}`);
    expect((await election.leader())?.value).toBe(`Go ${i}`);
    order.push(`Go ${i}`);
    other.tell('resign');
    await says(other, 'resigned');
    other.tell('proclaim too late');
    await says(other, 'failed: election: not leader');
  }
  await Promise.all(terms);
  expect(order).toEqual(['first', 'ours 0', 'Go 0', 'ours 1', 'Go 1']);
  expect(await election.leader()).toBe(undefined);
});
