import type { Attributes, Meter } from '@opentelemetry/api';
import { measure, type Recorder } from '../metrics/measure.js';
import { type Metric, type MetricName, metrics } from '../metrics/metrics.js';

/** Feeds a meter; the function returned ends that. */
export function toInstruments(meter: Meter, names: boolean): () => void {
  const adders = new Map(
    (Object.entries(metrics) as [MetricName, Metric][]).map(([name, metric]) => [
      name,
      adder(meter, name, metric),
    ]),
  );
  const record: Recorder = (name, value, labels) => adders.get(name)?.(value, labels);
  return measure(record, names);
}

function adder(
  meter: Meter,
  name: string,
  { kind, help, unit, buckets = [] }: Metric,
): (value: number, attributes: Attributes) => void {
  const options = { description: help, unit };
  const fullName = `etcd_recipes.${name}`;
  if (kind === 'histogram') {
    const advice = { explicitBucketBoundaries: [...buckets] };
    const histogram = meter.createHistogram(fullName, { ...options, advice });
    return (value, attributes) => histogram.record(value, attributes);
  }
  if (kind === 'gauge') {
    const gauge = meter.createGauge(fullName, options);
    return (value, attributes) => gauge.record(value, attributes);
  }
  const count =
    kind === 'counter'
      ? meter.createCounter(fullName, options)
      : meter.createUpDownCounter(fullName, options);
  return (value, attributes) => count.add(value, attributes);
}
