export {
  type FaultDirection,
  FaultProxy,
  type FaultProxyOptions,
} from '../embed/fault-proxy.js';
export type { ActiveFault, Fault, Faults, RpcName, StatusName } from '../embed/server/faults.js';
export { VirtualClock } from '../embed/virtual-clock.js';
export type { HoldRecipe, HoldSuiteOptions } from './hold-bench.js';
export { holdSuite } from './hold-suite.js';
export {
  type EventArguments,
  type EventEmitting,
  type EventName,
  type EventRecording,
  type EventSource,
  type RecordedEvent,
  recordEvents,
} from './record-events.js';
export {
  startTestEtcd,
  type TestConnectOptions,
  type TestEtcd,
  type TestEtcdOptions,
} from './start-test-etcd.js';
export { type StoreSuiteOptions, storeSuite } from './store-suite.js';
export type { TestCase } from './test-case.js';
export { type Present, type WaitForOptions, waitFor } from './wait-for.js';
