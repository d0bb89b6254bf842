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
export type {
  EtcdAutoCompaction,
  EtcdKeepAlive,
  EtcdOptions,
  EtcdTlsFiles,
} from './process/options.js';
export { start } from './start.js';
