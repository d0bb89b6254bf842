import { setTimeout as sleep } from 'node:timers/promises';
import { percentile } from '../../benchmarks/statistics.js';
import { onTold } from '../../src/core/trace.js';
import { type Coordinator, connect } from '../../src/index.js';
import { waitFor } from '../../src/testing/index.js';
import { RawClient } from '../support/raw-client.js';
import { type Site, startSite } from './site.js';

/** One thing that was measured, over and over. */
export interface Figure {
  readonly what: string;
  readonly unit: 'ms' | 'calls';
  readonly target?: number;
  /** One for each round. */
  readonly samples: readonly number[];
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

type Strike = 'kill' | 'pause';

/** Measures what the targets are about, with the library's default timeouts and etcd's default timers. */
export async function measure(rounds: number, tell: (line: string) => void): Promise<Figure[]> {
  const site = await startSite('plain', 'prod');
  const figures: Figure[] = [];
  const add = (what: string, unit: Figure['unit'], samples: number[], target?: number): void => {
    const [p50, p99] = [percentile(samples, 0.5), percentile(samples, 0.99)];
    const max = Math.max(...samples);
    figures.push({ what, unit, ...(target !== undefined && { target }), samples, p50, p99, max });
    tell(`${what}: p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)} ${unit}`);
  };
  try {
    await losses(site, rounds, add);
    await failovers(site, rounds, 'kill', add);
    await failovers(site, rounds, 'pause', add);
    for (const role of ['leader', 'follower'] as const) await loads(site, rounds, role, add);
  } finally {
    await site.close();
  }
  return figures;
}

type Add = (what: string, unit: Figure['unit'], samples: number[], target?: number) => void;

const endpointsFrom = ({ proxies }: Site, place: number): string[] =>
  proxies.map((_, i) => proxies[(place + i) % proxies.length]?.endpoint ?? '');

/** How soon a hold ends when somebody revokes its lease. */
async function losses(site: Site, rounds: number, add: Add): Promise<void> {
  const samples: number[] = [];
  await using coordinator = await connect({ endpoints: endpointsFrom(site, 0) });
  const mutex = coordinator.mutex('figures');
  for (let i = 0; i < 5 * rounds; i += 1) {
    const hold = await mutex.acquire();
    await sleep(120);
    const lost = new Promise<number>((resolve) => {
      hold.signal.addEventListener('abort', () => resolve(performance.now()));
    });
    const sent = performance.now();
    const [at] = await Promise.all([lost, site.admin.revoke(coordinator.session.id)]);
    samples.push(at - sent);
    // What is asked for before the session knows, too, would be lost with it.
    await waitFor(() => coordinator.session.state === 'lost');
  }
  add('loss noticed after a revoke was sent', 'ms', samples, 20);
}

/** How much longer than the cluster itself a client takes to write again, and how long a session is not renewed. */
async function failovers(site: Site, rounds: number, strike: Strike, add: Add): Promise<void> {
  const name = strike === 'kill' ? 'kill -9 of the leader' : 'SIGSTOP of the leader';
  const own: number[] = [];
  const excess: number[] = [];
  const gaps: number[] = [];
  const lost: number[] = [];
  for (let i = 0; i < rounds; i += 1) {
    const found = await failover(site, strike);
    own.push(found.cluster);
    excess.push(found.client - found.cluster);
    gaps.push(found.gap);
    lost.push(found.lost);
  }
  add(`${name}: the cluster's own failover`, 'ms', own);
  add(`${name}: client.put works again, later than that`, 'ms', excess, 500);
  add(`${name}: time between two renewals, TTL 5 s`, 'ms', gaps);
  // Nobody can renew while nobody leads.
  const beyond = gaps.map((gap, i) => gap - (own[i] ?? 0));
  add(`${name}: the same without the cluster's own failover`, 'ms', beyond, 2_000);
  add(`${name}: sessions lost`, 'calls', lost, 0);
}

async function failover(
  site: Site,
  strike: Strike,
): Promise<{ cluster: number; client: number; gap: number; lost: number }> {
  const place = await site.leader();
  const leader = site.members[place];
  const endpoints = endpointsFrom(site, place);
  const renewals: number[] = [];
  const coordinator = await connect({ endpoints, session: { ttl: 5_000 } });
  let lost = 0;
  coordinator.session.on('lost', () => {
    lost += 1;
    renewals.push(performance.now());
  });
  const { id } = coordinator.session;
  const deaf = onTold('renewal', ({ lease }) => {
    if (lease === id) renewals.push(performance.now());
  });
  const written: number[] = [];
  const stop = new AbortController();
  const writer = (async () => {
    while (!stop.signal.aborted) {
      await coordinator.client.put('figures', 'x').then(
        () => written.push(performance.now()),
        () => {},
      );
      await sleep(5);
    }
  })();
  await waitFor(() => written.length > 20 && renewals.length > 0);
  // Anywhere between two renewals.
  await sleep(1_700 * Math.random());
  const struck = performance.now();
  if (strike === 'kill') void leader?.kill();
  else leader?.pause();
  const cluster = (await firstWrite(site, place)) - struck;
  // What the old leader had accepted is answered until then.
  const again = (): number | undefined => written.find((at) => at > struck + 50);
  const client = (await waitFor(again, { timeout: 20_000 })) - struck;
  await waitFor(() => lost > 0 || renewals.some((at) => at > struck + cluster), {
    timeout: 20_000,
  });
  stop.abort();
  await writer;
  deaf();
  const gap = Math.max(...renewals.slice(1).map((at, i) => at - (renewals[i] ?? 0)));
  await site.heal();
  await coordinator.close();
  return { cluster, client, gap, lost };
}

/** When a fresh write at any of the other members was first answered. */
async function firstWrite({ members }: Site, struck: number): Promise<number> {
  const clients = members
    .filter((_, i) => i !== struck)
    .map(({ endpoint }) => new RawClient(endpoint));
  const answered: number[] = [];
  const probe = async (client: RawClient): Promise<void> => {
    await client.call('KV.Put', { key: 'figures-probe', value: 'x' }).then(
      () => answered.push(performance.now()),
      () => {},
    );
  };
  try {
    return await waitFor(
      () => {
        for (const client of clients) void probe(client);
        return answered[0];
      },
      { timeout: 20_000, interval: 20 },
    );
  } finally {
    for (const client of clients) client.close();
  }
}

const callers = 64;

/** How many calls of many callers fail when the member that they use stands still. */
async function loads(
  site: Site,
  rounds: number,
  role: 'leader' | 'follower',
  add: Add,
): Promise<void> {
  const failed: number[] = [];
  const slowest: number[] = [];
  let calls = 0;
  for (let i = 0; i < rounds; i += 1) {
    const leads = await site.leader();
    const place = role === 'leader' ? leads : (leads + 1) % site.members.length;
    await using coordinator = await connect({ endpoints: endpointsFrom(site, place) });
    const stop = new AbortController();
    const took: number[] = [];
    let failures = 0;
    const load = Promise.all(
      Array.from({ length: callers }, async (_, n) => {
        while (!stop.signal.aborted) {
          const began = performance.now();
          try {
            await call(coordinator, n);
          } catch {
            failures += 1;
          }
          took.push(performance.now() - began);
          await sleep(20);
        }
      }),
    );
    await sleep(500);
    site.members[place]?.pause();
    await sleep(2_500);
    await site.heal();
    await sleep(200);
    stop.abort();
    await load;
    failed.push(failures);
    slowest.push(Math.max(...took));
    calls += took.length;
  }
  const name = `SIGSTOP of the ${role}, in use, ${callers} callers`;
  add(`${name}: calls that failed of ${calls}`, 'calls', failed, 0);
  add(`${name}: the slowest call`, 'ms', slowest);
}

/** Odd ones write. */
async function call({ client }: Coordinator, n: number): Promise<unknown> {
  return n % 2 === 0 ? client.get(`figures-${n + 1}`) : client.put(`figures-${n}`, 'x');
}
