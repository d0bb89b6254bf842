import { ArgumentError } from '../core/store/errors.js';
import { milliseconds } from '../core/validate.js';
import { HoldBench, type HoldSuiteOptions } from './hold-bench.js';
import { heldCases } from './hold-suite-held.js';
import { tryingCases } from './hold-suite-trying.js';
import { waitingCases } from './hold-suite-waiting.js';
import type { TestCase } from './test-case.js';

/**
 * What every recipe must do that gives holds to one at a time, whatever store it runs on. Give each case 60 s: it
 * takes milliseconds, unless calls get lost.
 *
 * @throws ArgumentError if an option is missing or not usable.
 */
export function holdSuite(options: HoldSuiteOptions): TestCase[] {
  for (const name of ['connect', 'make', 'folder'] as const) {
    if (typeof options[name] !== 'function')
      throw new ArgumentError(name, 'a function', options[name]);
  }
  if (typeof options.admin?.commit !== 'function')
    throw new ArgumentError('admin', 'a Store', options.admin);
  if (options.timeout !== undefined) milliseconds('timeout', options.timeout);
  return [...waitingCases, ...tryingCases, ...heldCases].map((each) => ({
    name: each.name,
    async run() {
      const bench = new HoldBench(options);
      try {
        await each.run(bench);
      } finally {
        await bench.close();
      }
    },
  }));
}
