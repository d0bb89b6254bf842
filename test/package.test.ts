import { expect, it } from 'vitest';
import * as embed from '../src/embed/index.js';
import * as main from '../src/index.js';
import * as lock from '../src/lock/index.js';
import * as otel from '../src/otel/index.js';
import * as prometheus from '../src/prometheus/index.js';
import * as testing from '../src/testing/index.js';

it('exports these names and no others', () => {
  expect(Object.keys(main).toSorted()).toEqual([
    'ArgumentError',
    'BatchingStore',
    'CLOCK',
    'Client',
    'ClosedError',
    'CompactedError',
    'ConflictError',
    'CoordinationError',
    'Coordinator',
    'Etcd3Store',
    'ExactlyOnceStore',
    'HoldLostError',
    'LimitError',
    'Mutex',
    'Namespace',
    'RefusedError',
    'SESSION',
    'STORE',
    'Session',
    'SessionLostError',
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
  expect(Object.keys(lock)).toEqual(['Mutex']);
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
