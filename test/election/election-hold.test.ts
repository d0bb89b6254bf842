import { describe } from 'vitest';
import { folderOf } from '../../src/core/store/keys.js';
import type { Coordinator, ElectionOptions } from '../../src/index.js';
import { type HoldSuiteOptions, holdSuite } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';
import { runHoldFaults } from '../support/hold-faults.js';
import { runCases } from '../support/run-cases.js';

const etcd = useEtcd();

/** An election as something to hold. */
const suiteOf = (options: ElectionOptions = {}): HoldSuiteOptions => ({
  admin: etcd.admin,
  folder: (name) =>
    options.layout === 'go' ? `${name}/` : `${folderOf('election', name)}candidates/`,
  connect: () => etcd.connect(),
  make: (coordinator, name) => {
    const election = coordinator.election(name, options);
    return {
      acquire: (wait) => election.campaign('me', wait),
      tryAcquire: (wait) => election.tryCampaign('me', wait),
    };
  },
});

describe('a term', () => {
  runCases(holdSuite(suiteOf()));
});

describe('a term in Go’s layout', () => {
  runCases(holdSuite(suiteOf({ layout: 'go' })));
});

describe('a term of a candidate who is asked for its health', () => {
  runCases(holdSuite(suiteOf({ healthy: () => true, healthInterval: 5 })));
});

describe('a term in a namespace', () => {
  const connect = async (): Promise<Coordinator> => (await etcd.connect()).namespace('tenant/');
  runCases(holdSuite({ ...suiteOf(), prefix: 'tenant/', connect }));
});

runHoldFaults('a term', etcd, suiteOf());
runHoldFaults('a term in Go’s layout', etcd, suiteOf({ layout: 'go' }));
