import { expect, it } from 'vitest';
import * as barrier from '../src/barrier/index.js';
import * as cache from '../src/cache/index.js';
import * as discovery from '../src/discovery/index.js';
import * as election from '../src/election/index.js';
import * as embed from '../src/embed/index.js';
import * as grpc from '../src/grpc/index.js';
import * as main from '../src/index.js';
import * as lock from '../src/lock/index.js';
import * as membership from '../src/membership/index.js';
import * as otel from '../src/otel/index.js';
import * as prometheus from '../src/prometheus/index.js';
import * as queue from '../src/queue/index.js';
import * as tenants from '../src/tenants/index.js';
import * as testing from '../src/testing/index.js';
import * as value from '../src/value/index.js';

it('exports these names and no others', () => {
  expect(Object.keys(main).toSorted()).toEqual([
    'ArgumentError',
    'Balancer',
    'BatchingStore',
    'BrokenBarrierError',
    'CLOCK',
    'CallFailedError',
    'Client',
    'ClosedError',
    'CompactedError',
    'ConflictError',
    'Consumer',
    'Contents',
    'CoordinationError',
    'Coordinator',
    'Counter',
    'CyclicBarrier',
    'DeadLetters',
    'Directory',
    'DoubleBarrier',
    'Election',
    'Etcd3Store',
    'ExactlyOnceStore',
    'Gate',
    'Group',
    'HoldLostError',
    'Job',
    'JobCancelledError',
    'JobFailedError',
    'JobTxn',
    'Latch',
    'LimitError',
    'Lock',
    'Members',
    'Membership',
    'Mirror',
    'MultiLock',
    'Mutex',
    'Namespace',
    'NoInstanceError',
    'Partitioner',
    'Queue',
    'QueueWatch',
    'QuotaError',
    'ReadWriteLock',
    'RefusedError',
    'Registration',
    'SESSION',
    'STORE',
    'Schedule',
    'Semaphore',
    'Sequence',
    'Service',
    'Session',
    'SessionLostError',
    'SharedValue',
    'Tenants',
    'UnavailableError',
    'WaitTimeoutError',
    'Watching',
    'compare',
    'connect',
    'isCoordinationError',
    'op',
    'prefixRange',
    'systemClock',
  ]);
  expect(Object.keys(barrier)).toEqual(['CyclicBarrier', 'DoubleBarrier', 'Gate', 'Latch']);
  expect(Object.keys(cache)).toEqual(['Mirror']);
  expect(Object.keys(discovery)).toEqual([
    'Balancer',
    'CallFailedError',
    'NoInstanceError',
    'Directory',
    'Registration',
    'Service',
  ]);
  expect(Object.keys(election)).toEqual(['Election', 'Schedule']);
  expect(Object.keys(lock)).toEqual(['Lock', 'MultiLock', 'Mutex', 'ReadWriteLock', 'Semaphore']);
  expect(Object.keys(membership)).toEqual(['Group', 'Members', 'Membership', 'Partitioner']);
  expect(Object.keys(queue)).toEqual([
    'Consumer',
    'DeadLetters',
    'Job',
    'JobCancelledError',
    'JobFailedError',
    'JobTxn',
    'Queue',
    'QueueWatch',
  ]);
  expect(Object.keys(tenants)).toEqual(['QuotaError', 'Tenants']);
  expect(Object.keys(value)).toEqual(['Counter', 'Sequence', 'SharedValue']);
  expect(Object.keys(grpc)).toEqual(['registerResolver']);
  expect(Object.keys(otel)).toEqual(['instrument']);
  expect(Object.keys(prometheus)).toEqual(['collect']);
  expect(Object.keys(embed).toSorted()).toEqual([
    'EtcdGatewayError',
    'EtcdStartError',
    'FaultProxy',
    'VirtualClock',
    'start',
  ]);
  expect(Object.keys(testing).toSorted()).toEqual([
    'FaultProxy',
    'VirtualClock',
    'holdSuite',
    'recordEvents',
    'startTestEtcd',
    'storeSuite',
    'waitFor',
  ]);
});
