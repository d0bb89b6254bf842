import {
  type MeterProvider,
  metrics as metricsApi,
  type TracerProvider,
  trace as traceApi,
} from '@opentelemetry/api';
import { ArgumentError } from '../core/store/errors.js';
import { toInstruments } from './instruments.js';
import { toSpans } from './spans.js';

/** Where telemetry goes. */
export interface InstrumentOptions {
  /** Makes the spans. @defaultValue the global one, at whatever time it is registered */
  readonly tracerProvider?: TracerProvider;
  /** Takes the metrics. @defaultValue the global one as it is now: register it first */
  readonly meterProvider?: MeterProvider;
  /** Whether metrics of waits and holds are told apart by the name of the lock, too. Not where there are many. @defaultValue `false` */
  readonly names?: boolean;
}

/**
 * Makes spans and metrics of all that this library does in this process from now on: call it before `connect`.
 *
 * @returns what ends that
 * @throws ArgumentError if `names` is not a boolean.
 */
export function instrument({
  tracerProvider = traceApi.getTracerProvider(),
  meterProvider = metricsApi.getMeterProvider(),
  names = false,
}: InstrumentOptions = {}): () => void {
  if (typeof names !== 'boolean') throw new ArgumentError('names', 'a boolean', names);
  const scope = 'etcd-recipes';
  const stops = [
    toSpans(tracerProvider.getTracer(scope)),
    toInstruments(meterProvider.getMeter(scope), names),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}
