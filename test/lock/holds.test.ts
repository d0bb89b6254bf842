import { folderOf } from '../../src/core/store/keys.js';
import type { LockMode } from '../../src/index.js';
import type { HoldSuiteOptions } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';
import { runHoldFaults } from '../support/hold-faults.js';

const etcd = useEtcd();

type Recipe = Pick<HoldSuiteOptions, 'folder' | 'make'>;

const side = (mode: LockMode): Recipe => ({
  folder: (name) => `${folderOf('read-write-lock', name)}${mode[0]}/`,
  make: (coordinator, name) => coordinator.readWriteLock(name)[mode],
});

runHoldFaults('the write side of a read/write lock', etcd, side('write'));
runHoldFaults('the upgradeable side of a read/write lock', etcd, side('upgradeable'));
runHoldFaults('a semaphore of one permit', etcd, {
  folder: (name) => `${folderOf('semaphore', name)}permits/1/`,
  make: (coordinator, name) => coordinator.semaphore(name, { limit: 1 }),
});
runHoldFaults('a lock on several names', etcd, {
  folder: (name) => folderOf('mutex', `${name}/b`),
  make: (coordinator, name) => coordinator.multiLock([`${name}/a`, `${name}/b`, `${name}/c`]),
});
