import { AsyncLocalStorage } from 'node:async_hooks';
import { status as Status } from '@grpc/grpc-js';
import {
  type Attributes,
  type Context,
  context,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace as traceApi,
} from '@opentelemetry/api';
import { statusOf } from '../core/etcd3/status.js';
import { type Outcome, onTraced, type Traces, tracing } from '../core/trace.js';

/** A wait that is going on, and the context in which it began. */
interface Wait {
  readonly span: Span;
  readonly outer: Context;
}

/** Makes spans; the function returned ends that. */
export function toSpans(tracer: Tracer): () => void {
  // Nobody can make a context the active one from here, so what belongs to a wait is found by a store of our own.
  const waits = new AsyncLocalStorage<Wait>();
  const parent = (): Context => {
    const active = context.active();
    const wait = waits.getStore();
    // Whoever has begun a span since is the nearer one.
    return wait?.outer === active ? traceApi.setSpan(active, wait.span) : active;
  };
  const { start } = tracing('wait');
  start.bindStore(waits, (trace) => ({
    span: startWait(tracer, trace, parent()),
    outer: context.active(),
  }));
  const stops = [
    onTraced('wait', () => {
      const span = waits.getStore()?.span;
      return (outcome) => span && end(span, outcome);
    }),
    onTraced('rpc', (trace) => {
      const span = startRpc(tracer, trace, parent());
      return (outcome) => endRpc(span, outcome);
    }),
  ];
  return () => {
    start.unbindStore(waits);
    // Following asynchronous calls has its price for the whole process.
    waits.disable();
    for (const stop of stops) stop();
  };
}

function startWait(tracer: Tracer, { recipe, verb, name }: Traces['wait'], parent: Context): Span {
  const attributes = { 'etcd_recipes.recipe': recipe, 'etcd_recipes.name': name };
  return tracer.startSpan(`${recipe}.${verb}`, { kind: SpanKind.INTERNAL, attributes }, parent);
}

/** As OpenTelemetry's conventions for RPCs want it. */
function startRpc(
  tracer: Tracer,
  { method, endpoint, probe }: Traces['rpc'],
  parent: Context,
): Span {
  const [service, name] = method.split('/');
  const attributes = {
    'rpc.system': 'grpc',
    'rpc.service': `etcdserverpb.${service}`,
    'rpc.method': name ?? '',
    ...(probe && { 'etcd_recipes.probe': true }),
    ...addressOf(endpoint),
  };
  const options = { kind: SpanKind.CLIENT, attributes };
  return tracer.startSpan(`etcdserverpb.${method}`, options, parent);
}

function endRpc(span: Span, outcome: Outcome): void {
  const { code } = 'error' in outcome ? statusOf(outcome.error) : { code: Status.OK };
  span.setAttribute('rpc.grpc.status_code', code);
  if (code !== Status.OK) span.setAttribute('error.type', Status[code]);
  end(span, outcome);
}

function end(span: Span, outcome: Outcome): void {
  if ('error' in outcome) {
    const { error } = outcome;
    const message = error instanceof Error ? error.message : String(error);
    span.recordException(error instanceof Error ? error : message);
    span.setStatus({ code: SpanStatusCode.ERROR, message });
  }
  span.end();
}

/** Of an endpoint as it was configured: with or without a scheme and a port, or the path of a socket. */
function addressOf(endpoint: string): Attributes {
  const address = endpoint.replace(/^https?:\/\//, '').replace(/\/$/, '');
  const [, host = address, port] = /^(.*):(\d+)$/.exec(address) ?? [];
  const bare = host.replace(/^unix:|^\[|\]$/g, '');
  return { 'server.address': bare, ...(port && { 'server.port': Number(port) }) };
}
