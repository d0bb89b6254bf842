import { afterAll, describe, expect } from 'vitest';
import type { Coordinator } from '../../src/index.js';
import { type HoldSuiteOptions, holdSuite, type TestCase } from '../../src/testing/index.js';
import type { TestEtcd } from './etcd.js';
import { FaultyStore, faults } from './faulty-store.js';
import { runCases } from './run-cases.js';

/** Has vitest run the hold suite where every call goes wrong the first time that it is made: once for each fault. */
export function runHoldFaults(
  what: string,
  etcd: TestEtcd,
  options: Pick<HoldSuiteOptions, 'folder' | 'make'> & Partial<HoldSuiteOptions>,
  suite: (options: HoldSuiteOptions) => TestCase[] = holdSuite,
): void {
  describe.each(faults)(`${what} where every call first meets: %s`, (fault) => {
    let struck = 0;
    afterAll(() => {
      expect(struck).toBeGreaterThan(50);
    });
    const connect = async (): Promise<Coordinator> => {
      // Opening a session is one call; its first try fails, and a user would try again.
      let faulty: FaultyStore | undefined;
      const open = (): Promise<Coordinator> =>
        etcd.connect(
          {},
          (store) => (faulty ??= new FaultyStore(store, fault, () => (struck += 1))),
        );
      return open().catch(open);
    };
    const lossy = fault.startsWith('lost');
    runCases(suite({ admin: etcd.admin, ...options, connect, lossy }));
  });
}
