import { Balancer } from '../../src/discovery/balancing/balancer.js';
import type { PolicyName } from '../../src/discovery/balancing/policy.js';
import type { Instance } from '../../src/discovery/instance.js';

/** What to measure. */
export interface PicksTask {
  readonly instances: number;
  /** Length of each measured window. */
  readonly seconds: number;
}

/** What was found. */
export interface PicksReport {
  /** Picks that are done at once, by policy. */
  readonly perSecond: Readonly<Record<PolicyName, number>>;
  /** Random elements of the list of instances. */
  readonly barePerSecond: number;
  /** Milliseconds of the first pick after one instance was replaced by another. */
  readonly afterChange: number;
}

const policies = ['round-robin', 'weighted', 'random', 'least-loaded', 'sticky'] as const;
const atATime = 100;
const changes = 50;

/** Picks from many instances, in each way. */
export async function picks({ instances: count, seconds }: PicksTask): Promise<PicksReport> {
  let list = Array.from({ length: count }, (_, i) => instance(i));
  const source = { instances: (): readonly Instance[] => list };
  const rates = policies.map((policy) => {
    const balancer = new Balancer(source, { policy });
    let key = 0;
    const pick = (): void => balancer.pick({ key: `user-${(key += 1)}` }).done();
    return [policy, perSecond(pick, seconds)] as const;
  });
  const perPolicy = Object.fromEntries(rates) as Record<PolicyName, number>;
  let seen = 0;
  const bare = (): void => {
    seen += list[Math.floor(Math.random() * list.length)]?.weight ?? 0;
  };
  const barePerSecond = perSecond(bare, seconds);
  if (seen === 0) throw new Error('nothing was picked');
  const balancer = new Balancer(source, { policy: 'weighted' });
  balancer.pick().done();
  const began = performance.now();
  for (let i = 0; i < changes; i += 1) {
    list = [...list.slice(1), instance(count + i)];
    balancer.pick().done();
  }
  const afterChange = (performance.now() - began) / changes;
  return { perSecond: perPolicy, barePerSecond, afterChange };
}

function instance(i: number): Instance {
  return { id: `instance-${i}`, address: `10.0.${i >> 8}.${i & 255}:80`, weight: 1 + (i % 5) };
}

function perSecond(act: () => void, seconds: number): number {
  for (let i = 0; i < atATime; i += 1) act();
  const began = performance.now();
  let [count, now] = [0, began];
  for (; now - began < seconds * 1_000; now = performance.now()) {
    for (let i = 0; i < atATime; i += 1) act();
    count += atATime;
  }
  return (count / (now - began)) * 1_000;
}
