import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ForwardingStore } from '../../src/core/store/forwarding-store.js';
import { connect, type Store, type TxnReply } from '../../src/index.js';
import { type InstrumentOptions, instrument } from '../../src/otel/index.js';
import { waitFor } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
});
afterAll(() => context.disable());

/** Instruments for one test, with all that is told kept in memory. */
function instrumented(options: InstrumentOptions = {}) {
  const exported = new InMemorySpanExporter();
  const tracerProvider = new BasicTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(exported)],
  });
  const metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter: metrics });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const stop = instrument({ tracerProvider, meterProvider, ...options });
  etcd.defer(stop);
  etcd.defer(() => meterProvider.shutdown());
  const spans = (name: string): ReadableSpan[] =>
    exported.getFinishedSpans().filter((span) => span.name === name);
  /** The latest points of a metric. */
  const points = async (name: string) => {
    await reader.forceFlush();
    const scopes = metrics.getMetrics().at(-1)?.scopeMetrics ?? [];
    const found = scopes.flatMap((scope) => scope.metrics);
    const metric = found.find(({ descriptor }) => descriptor.name === `etcd_recipes.${name}`);
    return metric?.dataPoints.map(({ attributes, value }) => ({ attributes, value })) ?? [];
  };
  return { stop, spans, points, tracer: tracerProvider.getTracer('test') };
}

const parentOf = (span: ReadableSpan | undefined) => span?.parentSpanContext?.spanId;
const idOf = (span: ReadableSpan | undefined) => span?.spanContext().spanId;

describe('spans', () => {
  it('of calls follow the conventions, below the span that is active', async () => {
    const { spans, tracer } = instrumented();
    await tracer.startActiveSpan('mine', async (span) => {
      await etcd.admin.read({ key: 'x' });
      span.end();
    });
    const [call] = spans('etcdserverpb.KV/Range');
    const { hostname, port } = new URL(`http://${etcd.endpoint.replace(/^http:\/\//, '')}`);
    expect(call?.kind).toBe(SpanKind.CLIENT);
    expect(call?.attributes).toEqual({
      'rpc.system': 'grpc',
      'rpc.service': 'etcdserverpb.KV',
      'rpc.method': 'Range',
      'rpc.grpc.status_code': 0,
      'server.address': hostname,
      'server.port': Number(port),
    });
    expect(call?.status.code).toBe(SpanStatusCode.UNSET);
    expect(parentOf(call)).toBe(idOf(spans('mine')[0]));
  });

  it('of attempts that failed say why', async () => {
    const proxy = await etcd.startProxy();
    proxy.cut();
    const { spans } = instrumented();
    const store = etcd.open({ endpoints: [proxy.endpoint, etcd.endpoint] });
    const key = etcd.name();
    await store.commit({ success: [{ put: { key, value: '' } }] }, { idempotent: true });
    await store.commit({ success: [{ delete: { key } }] });
    const [failed, second] = spans('etcdserverpb.KV/Put');
    expect(failed?.status.code).toBe(SpanStatusCode.ERROR);
    expect(failed?.attributes).toMatchObject({
      'rpc.grpc.status_code': 14,
      'error.type': 'UNAVAILABLE',
    });
    expect(failed?.events.map(({ name }) => name)).toEqual(['exception']);
    expect(second?.status.code).toBe(SpanStatusCode.UNSET);
  });

  it('of waits have those of their calls below them, but not of what is done meanwhile', async () => {
    const { spans, tracer } = instrumented();
    const coordinator = await etcd.connect();
    const name = etcd.name();
    await tracer.startActiveSpan('mine', async (span) => {
      await coordinator.mutex(name).run(async () => {
        await coordinator.store.read({ key: 'x' });
      });
      span.end();
    });
    const [wait] = spans('mutex.acquire');
    expect(wait?.kind).toBe(SpanKind.INTERNAL);
    expect(wait?.attributes).toEqual({
      'etcd_recipes.recipe': 'mutex',
      'etcd_recipes.name': name,
    });
    const mine = idOf(spans('mine')[0]);
    expect(parentOf(wait)).toBe(mine);
    const [join, release] = spans('etcdserverpb.KV/Txn');
    expect([join, release].map(parentOf)).toEqual([idOf(wait), mine]);
    expect(spans('etcdserverpb.KV/Range').map(parentOf)).toEqual([mine]);
  });

  it('of registrations and of joining a group have names', async () => {
    const { spans, points } = instrumented();
    const coordinator = await etcd.connect();
    const name = etcd.name();
    await coordinator.service(name).register({ address: 'a' });
    await coordinator.group(name).join(1);
    const about = (recipe: string) => ({
      'etcd_recipes.recipe': recipe,
      'etcd_recipes.name': name,
    });
    expect(spans('service.register')[0]?.attributes).toEqual(about('service'));
    expect(spans('group.join')[0]?.attributes).toEqual(about('group'));
    expect(await points('recipe.events')).toEqual([
      { attributes: { recipe: 'service', event: 'registered' }, value: 1 },
      { attributes: { recipe: 'group', event: 'joined' }, value: 1 },
    ]);
  });

  it('begun inside a wait are nearer to its calls', async () => {
    const { spans, tracer } = instrumented();
    class Decorated extends ForwardingStore {
      override commit(...args: Parameters<Store['commit']>): Promise<TxnReply> {
        return tracer.startActiveSpan('decorated', async (span) => {
          const reply = await this.store.commit(...args);
          span.end();
          return reply;
        });
      }
    }
    const coordinator = await etcd.connect({}, (store) => new Decorated(store));
    await coordinator.mutex(etcd.name()).run(() => {});
    expect(parentOf(spans('etcdserverpb.KV/Txn')[0])).toBe(idOf(spans('decorated')[0]));
  });

  it('of waits in vain say why', async () => {
    const { spans } = instrumented();
    const coordinator = await etcd.connect();
    const mutex = coordinator.mutex(etcd.name());
    await mutex.run(async () => {
      await expect(mutex.acquire({ timeout: 20 })).rejects.toThrow('within 20 ms');
    });
    const [granted, failed] = spans('mutex.acquire');
    expect(granted?.status.code).toBe(SpanStatusCode.UNSET);
    expect(failed?.status).toMatchObject({
      code: SpanStatusCode.ERROR,
      message: expect.stringContaining('not granted within 20 ms'),
    });
  });
});

describe('metrics', () => {
  it('tell what a coordinator does, and which endpoint fails', async () => {
    const { points } = instrumented();
    const proxy = await etcd.startProxy();
    const { endpoint } = proxy;
    const coordinator = await connect({ endpoints: [endpoint, etcd.endpoint] });
    etcd.defer(() => coordinator.close());
    await coordinator.mutex(etcd.name()).run(() => {});
    expect(await points('wait.duration')).toEqual([
      {
        attributes: { recipe: 'mutex', verb: 'acquire', outcome: 'ok' },
        value: expect.objectContaining({ count: 1 }),
      },
    ]);
    proxy.cut();
    await coordinator.client.get('x');
    expect(await points('endpoint.aside')).toEqual([{ attributes: { endpoint }, value: 1 }]);
    expect(await points('rpc.retries')).toEqual([
      { attributes: { code: 'UNAVAILABLE', endpoint }, value: 1 },
    ]);
    const failed = { method: 'KV/Range', code: 'UNAVAILABLE', endpoint };
    expect((await points('rpc.duration')).map(({ attributes }) => attributes)).toContainEqual(
      failed,
    );
    proxy.heal();
    await waitFor(async () => (await points('endpoint.aside'))[0]?.value === 0);
  });
});

it('tells locks apart in metrics only if asked', async () => {
  expect(() => instrument({ names: 1 as never })).toThrow('names must be a boolean, got 1');
  const { points } = instrumented({ names: true });
  const coordinator = await etcd.connect();
  const name = etcd.name();
  await coordinator.mutex(name).run(() => {});
  const named = { attributes: { recipe: 'mutex', name }, value: expect.any(Object) };
  expect(await points('hold.duration')).toEqual([named]);
});

it('makes nothing any more once that was said', async () => {
  const { spans, points, stop } = instrumented();
  stop();
  const coordinator = await etcd.connect();
  await coordinator.mutex(etcd.name()).run(() => {});
  expect(spans('mutex.acquire')).toEqual([]);
  expect(spans('etcdserverpb.KV/Txn')).toEqual([]);
  expect(await points('rpc.duration')).toEqual([]);
});

it('uses the global tracer provider where none is given, whenever it is registered', async () => {
  const stop = instrument();
  etcd.defer(stop);
  const exported = new InMemorySpanExporter();
  const spanProcessors = [new SimpleSpanProcessor(exported)];
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors }));
  etcd.defer(() => trace.disable());
  await etcd.admin.read({ key: 'x' });
  expect(exported.getFinishedSpans().map(({ name }) => name)).toEqual(['etcdserverpb.KV/Range']);
});
