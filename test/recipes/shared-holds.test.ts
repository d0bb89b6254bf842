import { describe, expect, it } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import type { Coordinator, LockMode, Store } from '../../src/index.js';
import {
  type HoldRecipe,
  type HoldSuiteOptions,
  holdSuite,
  type TestCase,
} from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';
import { runHoldFaults } from '../support/hold-faults.js';
import { override } from '../support/override.js';
import { runCases } from '../support/run-cases.js';

const etcd = useEtcd();

type Recipe = Pick<HoldSuiteOptions, 'folder' | 'make'>;

/** Readers do not exclude one another: of two contenders the one reads, and the other writes. Both have a key among the readers'. */
function readers(order: readonly [LockMode, LockMode]): Recipe {
  const made = new Map<string, number>();
  return {
    folder: (name) => `${folderOf('read-write-lock', name)}r/`,
    make: (coordinator, name) => {
      const before = made.get(name) ?? 0;
      made.set(name, before + 1);
      return coordinator.readWriteLock(name)[order[before % 2] as LockMode];
    },
  };
}

const ofHolder = ({ name }: TestCase): boolean => /^a (hold|try)/.test(name);
const ofReader = (options: HoldSuiteOptions): TestCase[] => [
  ...holdSuite({ ...options, ...readers(['read', 'write']) }).filter(ofHolder),
  ...holdSuite({ ...options, ...readers(['write', 'read']) }).filter((each) => !ofHolder(each)),
];
const reading = { ...readers(['read', 'write']), admin: etcd.admin };

describe('the read side of a read/write lock', () => {
  runCases(ofReader({ ...reading, connect: () => etcd.connect() }));
});
runHoldFaults('the read side of a read/write lock', etcd, reading, ofReader);

/** Who is inside of a double barrier excludes nobody: what is left is what a hold is good for, and how it ends. */
const inside: Recipe & Pick<HoldSuiteOptions, 'admin'> = {
  folder: (name) => folderOf('double-barrier', name),
  make: (coordinator, name): HoldRecipe => {
    const enter: HoldRecipe['acquire'] = (wait) => coordinator.doubleBarrier(name, 1).enter(wait);
    return { acquire: enter, tryAcquire: enter };
  },
  // The rounds have keys of their own, which hang on no lease.
  admin: override(etcd.admin, {
    async read(...args) {
      const reply = await etcd.admin.read(...args);
      const kvs = reply.kvs.filter(({ lease, key }) => lease > 0n || !key.includes('/round'));
      return { ...reply, kvs, count: kvs.length };
    },
  } satisfies Partial<Store>),
};
const ofInside = (options: HoldSuiteOptions): TestCase[] =>
  holdSuite(options).filter(({ name }) => name.startsWith('a hold'));

describe('the inside of a double barrier', () => {
  const connect = (): Promise<Coordinator> => etcd.connect();
  runCases(ofInside({ ...inside, connect }));
});
runHoldFaults('the inside of a double barrier', etcd, inside, ofInside);

it('all of what a hold does is tried on readers and in double barriers', () => {
  const options = { ...inside, connect: () => etcd.connect() };
  const all = holdSuite(options).map(({ name }) => name);
  expect(
    ofReader({ ...options, ...reading })
      .map(({ name }) => name)
      .toSorted(),
  ).toEqual(all.toSorted());
  expect(ofInside(options).length).toBe(6);
});
