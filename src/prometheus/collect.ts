import { Counter, register as defaultRegister, Gauge, Histogram, type Registry } from 'prom-client';
import { ArgumentError } from '../core/store/errors.js';
import { measure, type Recorder } from '../metrics/measure.js';
import {
  type HistogramName,
  labelsOf,
  type Metric,
  type MetricName,
  metrics,
} from '../metrics/metrics.js';

/** How metrics are collected. */
export interface CollectOptions {
  /** Where they are registered. @defaultValue prom-client's default register */
  readonly register?: Registry;
  /** What their names begin with. @defaultValue `'etcd_recipes_'` */
  readonly prefix?: string;
  /**
   * Upper bounds of buckets, such as `{ 'rpc.duration': [0.001, 0.01, 0.1] }`; durations in seconds.
   * @defaultValue fit for an etcd nearby, and for locks held for milliseconds to minutes
   */
  readonly buckets?: Readonly<Partial<Record<HistogramName, readonly number[]>>>;
  /** Whether waits and holds are told apart by the name of the lock, too. Not where there are many. @defaultValue `false` */
  readonly names?: boolean;
}

type Labels = Readonly<Record<string, string>>;

/**
 * Registers metrics of all that this library does in this process from now on: call it before `connect`.
 *
 * @returns what ends that, and takes the metrics out of the register
 * @throws ArgumentError if an option is not usable, or the register has metrics of these names already.
 */
export function collect({
  register = defaultRegister,
  prefix = 'etcd_recipes_',
  buckets = {},
  names = false,
}: CollectOptions = {}): () => void {
  check(prefix, buckets, names);
  const all = (Object.entries(metrics) as [MetricName, Metric][]).map(([key, metric]) => ({
    key,
    metric: { ...metric, ...(key in buckets && { buckets: buckets[key as HistogramName] }) },
    name: nameOf(prefix, key, metric),
  }));
  if (all.some(({ name }) => register.getSingleMetric(name))) {
    throw new ArgumentError('prefix', 'one that the register has no metrics with', prefix);
  }
  const adders = new Map(
    all.map(({ key, metric, name }) => [key, adder(name, metric, names, register)]),
  );
  const record: Recorder = (key, value, labels) => adders.get(key)?.(labels, value);
  const stop = measure(record, names);
  return () => {
    stop();
    for (const { name } of all) register.removeSingleMetric(name);
  };
}

/** As OpenTelemetry's names are written in Prometheus: both give the same. */
function nameOf(prefix: string, key: string, { kind, unit }: Metric): string {
  const ending = `${unit === 's' ? '_seconds' : ''}${kind === 'counter' ? '_total' : ''}`;
  return `${prefix}${key.replaceAll('.', '_')}${ending}`;
}

/** Registers a metric, and gives what adds to it. */
function adder(
  name: string,
  metric: Metric,
  names: boolean,
  register: Registry,
): (labels: Labels, value: number) => void {
  const { kind, help, buckets = [] } = metric;
  const configuration = { name, help, labelNames: labelsOf(metric, names), registers: [register] };
  if (kind === 'histogram') {
    const histogram = new Histogram({ ...configuration, buckets: [...buckets] });
    return (labels, value) => histogram.observe(labels, value);
  }
  if (kind === 'gauge') {
    const gauge = new Gauge(configuration);
    return (labels, value) => gauge.set(labels, value);
  }
  const count = kind === 'counter' ? new Counter(configuration) : new Gauge(configuration);
  return (labels, value) => count.inc(labels, value);
}

function check(
  prefix: string,
  buckets: NonNullable<CollectOptions['buckets']>,
  names: boolean,
): void {
  if (typeof prefix !== 'string' || !/^([a-zA-Z_:][a-zA-Z0-9_:]*)?$/.test(prefix)) {
    throw new ArgumentError('prefix', 'letters, digits, _ and :, with no digit first', prefix);
  }
  if (typeof names !== 'boolean') throw new ArgumentError('names', 'a boolean', names);
  const histograms = Object.entries(metrics).flatMap(([key, { kind }]) =>
    kind === 'histogram' ? key : [],
  );
  for (const [key, bounds] of Object.entries(buckets)) {
    if (!histograms.includes(key)) {
      throw new ArgumentError('buckets', `given for ${histograms.join(', ')}`, key);
    }
    if (!Array.isArray(bounds) || !bounds.every(ascends)) {
      throw new ArgumentError(`buckets['${key}']`, 'numbers in ascending order', bounds);
    }
  }
}

function ascends(bound: unknown, i: number, bounds: readonly number[]): boolean {
  return Number.isFinite(bound) && (bound as number) > (bounds[i - 1] ?? -Infinity);
}
