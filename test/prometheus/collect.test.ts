import { hasSubscribers } from 'node:diagnostics_channel';
import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { tell } from '../../src/core/trace.js';
import { ArgumentError, Balancer, connect } from '../../src/index.js';
import { type CollectOptions, collect } from '../../src/prometheus/index.js';
import { waitFor } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();

/** Collects in a register of its own; `lines` gives what Prometheus would read of a metric, without the prefix. */
function collecting(options: CollectOptions = {}) {
  const register = new Registry();
  const stop = collect({ register, ...options });
  etcd.defer(stop);
  const lines = async (metric: string): Promise<string[]> => {
    const text = await register.metrics();
    const beginning = `etcd_recipes_${metric}`;
    return text
      .split('\n')
      .filter((line) => line.startsWith(`${beginning}{`) || line.startsWith(`${beginning} `))
      .map((line) => line.slice(beginning.length).trim());
  };
  return { register, stop, lines };
}

describe('what a coordinator does', () => {
  it('is counted and timed', async () => {
    const { lines } = collecting();
    const coordinator = await connect({ endpoints: [etcd.endpoint], session: { ttl: 5_000 } });
    etcd.defer(() => coordinator.close());
    const mutex = coordinator.mutex(etcd.name());
    await mutex.run(() => {});
    await using hold = await mutex.acquire();
    await expect(mutex.acquire({ timeout: 20 })).rejects.toThrow('within 20 ms');
    await expect(mutex.acquire({ signal: AbortSignal.abort() })).rejects.toThrow('aborted');
    await waitFor(async () => (await lines('lease_renewal_margin_seconds_count'))[0] !== '0');
    expect(await lines('rpc_duration_seconds_count')).toContainEqual(
      expect.stringContaining(`{method="KV/Txn",code="OK",endpoint="${etcd.endpoint}"} `),
    );
    expect(await lines('wait_duration_seconds_count')).toEqual([
      '{recipe="mutex",verb="acquire",outcome="ok"} 2',
      '{recipe="mutex",verb="acquire",outcome="ERR_WAIT_TIMEOUT"} 1',
      '{recipe="mutex",verb="acquire",outcome="aborted"} 1',
    ]);
    expect(await lines('hold_duration_seconds_count')).toEqual(['{recipe="mutex"} 1']);
    expect(Number((await lines('batch_size_count'))[0])).toBeGreaterThan(0);
    expect(await lines('session_events_total')).toEqual(
      expect.arrayContaining([
        '{event="opened"} 1',
        expect.stringMatching(/^\{event="stalled"\} \d+$/),
      ]),
    );
    expect(await lines('session_losses_total')).toContain('{reason="no-contact"} 0');
    await etcd.admin.commit({ success: [{ delete: { key: hold.key } }] });
    await waitFor(async () => (await lines('hold_losses_total')).length > 0);
    expect(await lines('hold_losses_total')).toEqual(['{recipe="mutex",reason="deleted"} 1']);
  });

  it('is counted and timed for jobs, and shows how many there are', async () => {
    const { lines } = collecting({ names: true });
    const coordinator = await etcd.connect();
    const name = etcd.name('queue');
    const jobs = coordinator.queue<number>(name, { attempts: 1 });
    await jobs.putMany([1, 2, 3]);
    await (await jobs.next()).ack();
    await (await jobs.next()).nack();
    await jobs.stats();
    expect(await lines('job_events_total')).toEqual([
      `{event="put",name="${name}"} 3`,
      `{event="taken",name="${name}"} 2`,
      `{event="done",name="${name}"} 1`,
      `{event="dead",name="${name}"} 1`,
    ]);
    expect(await lines('job_claims_total')).toEqual([`{outcome="won",name="${name}"} 2`]);
    expect(await lines('job_wait_duration_seconds_count')).toEqual([`{name="${name}"} 2`]);
    expect(await lines('job_duration_seconds_count')).toEqual([
      `{event="done",name="${name}"} 1`,
      `{event="dead",name="${name}"} 1`,
    ]);
    expect(await lines('queue_jobs')).toEqual([
      `{queue="${name}",state="ready"} 1`,
      `{queue="${name}",state="claimed"} 0`,
      `{queue="${name}",state="resting"} 0`,
      `{queue="${name}",state="delayed"} 0`,
      `{queue="${name}",state="dead"} 1`,
      `{queue="${name}",state="done"} 0`,
    ]);
  });

  it('is counted for services, groups and shards, and shows what is in views', async () => {
    const { lines } = collecting({ names: true });
    const coordinator = await etcd.connect();
    const name = etcd.name('service');
    const service = coordinator.service(name);
    const registration = await service.register({ address: 'a' });
    await using _ = await service.register({ address: 'b' });
    const directory = service.directory();
    await directory.ready();
    const balancer = new Balancer(directory, { ejection: { failuresInRow: 1 } });
    let calls = 0;
    await balancer.call(() => {
      calls += 1;
      if (calls === 1) throw new Error('out of order');
    });
    balancer.pick()[Symbol.dispose]();
    await registration.drain();
    await waitFor(() => directory.instances().length === 1);
    const group = coordinator.group(name);
    const membership = await group.join(1);
    const members = group.members();
    await members.ready();
    const event = (recipe: string, what: string, times: number): string =>
      `{recipe="${recipe}",event="${what}",name="${name}"} ${times}`;
    expect(await lines('recipe_events_total')).toEqual([
      event('service', 'registered', 2),
      event('balancer', 'failed', 1),
      event('balancer', 'ejected', 1),
      event('balancer', 'retried', 1),
      event('balancer', 'succeeded', 1),
      event('balancer', 'abandoned', 1),
      event('service', 'state', 1),
      event('group', 'joined', 1),
    ]);
    const [instances, ours] = [`{view="service/${name}/"}`, `{view="group/${name}/"}`];
    const expected = [`${instances} 2`, `${ours} 1`];
    expect(await lines('view_keys')).toEqual(expected);
    expect(await lines('view_stale')).toEqual([`${instances} 0`, `${ours} 0`]);
    const type = `{view="service/${name}/",type="changed"}`;
    expect(await lines('view_changes_total')).toEqual([`${type} 1`]);
    await membership.leave();
    await waitFor(async () => (await lines('view_keys'))[1] === `${ours} 0`);
    directory.close();
    expect(await lines('view_keys')).toEqual([`${instances} 0`, `${ours} 0`]);
  });

  it('shows how many shards are ours', async () => {
    const { lines } = collecting();
    const name = etcd.name('partitioner');
    const partitioner = (await etcd.connect()).partitioner(name, { shards: 3, settle: 0 });
    const ended = partitioner.run(() => {});
    await waitFor(async () => (await lines('partitioner_shards'))[0]?.endsWith(' 3'));
    await partitioner.close();
    await ended;
    expect(await lines('partitioner_shards')).toEqual([`{partitioner="${name}"} 0`]);
    expect(await lines('recipe_events_total')).toEqual(
      expect.arrayContaining([
        '{recipe="partitioner",event="acquired"} 3',
        '{recipe="partitioner",event="draining"} 3',
        '{recipe="partitioner",event="released"} 3',
      ]),
    );
  });

  it('shows views that are stale, also of which it heard late', async () => {
    const copy = {};
    const note = { view: 'a/', copy, keys: 2, isStale: true, changes: [] };
    tell('view', () => note);
    const { lines } = collecting();
    tell('view', () => note);
    tell('view', () => ({ ...note, copy: {} }));
    expect(await lines('view_stale')).toEqual(['{view="a/"} 2']);
    tell('view', () => ({ ...note, keys: 0, isStale: false }));
    expect(await lines('view_stale')).toEqual(['{view="a/"} 1']);
    expect(await lines('view_keys')).toEqual(['{view="a/"} 2']);
  });

  it('shows an endpoint that fails, and that it is well again', async () => {
    const proxy = await etcd.startProxy();
    const { lines } = collecting();
    const { endpoint } = proxy;
    const coordinator = await connect({ endpoints: [endpoint, etcd.endpoint] });
    etcd.defer(() => coordinator.close());
    const watch = coordinator.client.watch({ key: etcd.name() });
    etcd.defer(() => watch.close());
    await watch.ready;
    proxy.cut();
    await coordinator.client.get('x');
    const aside = `{endpoint="${endpoint}"}`;
    expect(await lines('endpoint_aside')).toEqual([`${aside} 1`]);
    expect(await lines('endpoint_ejections_total')).toEqual([`${aside} 1`]);
    const restarts = `{stream="watch",code="UNAVAILABLE",endpoint="${endpoint}"}`;
    expect(await lines('stream_restarts_total')).toEqual([`${restarts} 1`]);
    const retried = `{code="UNAVAILABLE",endpoint="${endpoint}"}`;
    expect(await lines('rpc_retries_total')).toEqual([`${retried} 1`]);
    // What nobody has called is not counted with the reads.
    const reads = `{method="KV/Range",code="OK",endpoint="${etcd.endpoint}"}`;
    expect(await lines('rpc_duration_seconds_count')).toContainEqual(`${reads} 1`);
    const probes = `{method="probe",code="OK",endpoint="${etcd.endpoint}"}`;
    await waitFor(async () => (await lines('rpc_duration_seconds_count')).join().includes(probes));
    proxy.heal();
    await waitFor(async () => (await lines('endpoint_aside')).join() === `${aside} 0`);
  });

  it('is not counted back where it was not seen', async () => {
    const { lines } = collecting();
    tell('endpoint', () => ({ endpoint: 'a:1', state: 'back' }));
    expect(await lines('endpoint_aside')).toEqual([]);
    tell('endpoint', () => ({ endpoint: 'a:1', state: 'aside' }));
    expect(await lines('endpoint_aside')).toEqual(['{endpoint="a:1"} 1']);
  });

  it('has the names of locks if asked', async () => {
    const { lines } = collecting({ names: true });
    const coordinator = await etcd.connect();
    const name = etcd.name();
    await coordinator.mutex(name).run(() => {});
    expect(await lines('wait_duration_seconds_count')).toEqual([
      `{recipe="mutex",verb="acquire",outcome="ok",name="${name}"} 1`,
    ]);
    expect(await lines('hold_duration_seconds_count')).toEqual([
      `{recipe="mutex",name="${name}"} 1`,
    ]);
  });

  it('is of no interest any more once that was said', async () => {
    const { register, stop } = collecting();
    expect(register.getMetricsAsArray().length).toBeGreaterThan(10);
    stop();
    expect(register.getMetricsAsArray()).toEqual([]);
    expect(hasSubscribers('etcd-recipes:retry')).toBe(false);
    expect(hasSubscribers('tracing:etcd-recipes:rpc:start')).toBe(false);
    await etcd.admin.read({ key: 'x' });
    etcd.defer(collect({ register }));
    expect(await register.metrics()).not.toContain('KV/Range');
  });
});

it('takes other prefixes and buckets', async () => {
  const { register } = collecting({ prefix: 'shop_', buckets: { 'batch.size': [3] } });
  const metric = await register.getSingleMetricAsString('shop_batch_size');
  expect(metric.match(/le="[^"]+"/g)).toEqual(['le="3"', 'le="+Inf"']);
});

it('refuses what it cannot use, and registers nothing then', () => {
  const register = new Registry();
  const refused = (options: object, message: string): void => {
    expect(() => collect({ register, ...options })).toThrow(ArgumentError);
    expect(() => collect({ register, ...options })).toThrow(message);
    expect(register.getMetricsAsArray()).toEqual([]);
  };
  refused(
    { prefix: 'a-b' },
    "prefix must be letters, digits, _ and :, with no digit first, got 'a-b'",
  );
  refused({ buckets: { 'rpc.retries': [1] } }, 'buckets must be given for rpc.duration, ');
  refused(
    { buckets: { 'batch.size': [2, 1] } },
    "buckets['batch.size'] must be numbers in ascending",
  );
  refused({ buckets: { 'batch.size': ['1'] } }, "buckets['batch.size'] must be numbers");
  refused({ names: 'yes' }, "names must be a boolean, got 'yes'");
  const stop = collect({ register });
  expect(() => collect({ register })).toThrow(
    'prefix must be one that the register has no metrics',
  );
  etcd.defer(collect({ register, prefix: 'other_' }));
  stop();
  etcd.defer(collect({ register }));
});
