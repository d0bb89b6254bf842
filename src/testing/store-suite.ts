import { ArgumentError } from '../core/store/errors.js';
import type { Store } from '../core/store/store.js';
import { milliseconds } from '../core/validate.js';
import { StoreBench } from './store-bench.js';
import { callCases } from './store-suite-calls.js';
import { commitCases } from './store-suite-commits.js';
import { leaseCases } from './store-suite-leases.js';
import { readCases } from './store-suite-reads.js';
import { refusalCases } from './store-suite-refusals.js';
import { sizeCases } from './store-suite-sizes.js';
import { watchCases } from './store-suite-watches.js';
import type { TestCase } from './test-case.js';

/** How the suite gets at a `Store`. */
export interface StoreSuiteOptions {
  /** Makes a store of its own for one case, which closes it. Other stores may be in use on the same data meanwhile. */
  make(): Promise<Store> | Store;
  /** What every key begins with that the suite writes; it removes them again. @defaultValue `'store-suite/'` */
  readonly prefix?: string;
  /** How long a case waits for an event before it fails, in milliseconds of real time. @defaultValue 10,000 */
  readonly timeout?: number;
}

/**
 * What every implementation of `Store` must do, whatever is behind it. Behind it may be data of others, in use.
 *
 * Two cases wait for leases to end, which takes some three seconds of real time each, and longer while etcd changes
 * its leader: give each 20 seconds. What is not tested is that calls keep their `timeout`, since that takes
 * something behind the store that hangs: test it where you can make that.
 *
 * @throws ArgumentError if an option is not usable.
 */
export function storeSuite(options: StoreSuiteOptions): TestCase[] {
  const { prefix = 'store-suite/', timeout = 10_000 } = options;
  const make: unknown = Reflect.get(options, 'make');
  if (typeof make !== 'function') throw new ArgumentError('make', 'a function', make);
  if (typeof prefix !== 'string') throw new ArgumentError('prefix', 'a string', prefix);
  milliseconds('timeout', timeout);
  const cases = [
    ...readCases,
    ...commitCases,
    ...refusalCases,
    ...watchCases,
    ...sizeCases,
    ...leaseCases,
    ...callCases,
  ];
  return cases.map((each) => ({
    name: each.name,
    async run() {
      const bench = new StoreBench(await options.make(), prefix, timeout);
      try {
        await each.run(bench);
      } finally {
        await bench.close();
      }
    },
  }));
}
