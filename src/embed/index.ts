export { EtcdGatewayError, EtcdStartError } from './errors.js';
export {
  type FaultDirection,
  FaultProxy,
  type FaultProxyOptions,
} from './fault-proxy.js';
export type { EtcdCluster } from './process/cluster.js';
export type { EtcdExit } from './process/etcd-process.js';
export type { EtcdGateway } from './process/gateway.js';
export type { EtcdMember } from './process/member.js';
export type { EtcdKeepAlive, EtcdOptions } from './process/options.js';
export type { ActiveFault, Fault, Faults, RpcName, StatusName } from './server/faults.js';
export type { InProcessEtcd, InProcessStats } from './server/in-process-etcd.js';
export type { InProcessOptions } from './server/options.js';
export type { EtcdAutoCompaction, EtcdPings, EtcdTlsFiles } from './shared-options.js';
export { type EmbeddedEtcd, start } from './start.js';
export { VirtualClock } from './virtual-clock.js';
