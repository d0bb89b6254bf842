export type { EtcdCluster } from './cluster.js';
export { EtcdGatewayError, EtcdStartError } from './errors.js';
export type { EtcdExit } from './etcd-process.js';
export {
  type FaultDirection,
  FaultProxy,
  type FaultProxyOptions,
} from './fault-proxy.js';
export type { EtcdGateway } from './gateway.js';
export type { EtcdMember } from './member.js';
export type {
  EtcdAutoCompaction,
  EtcdKeepAlive,
  EtcdOptions,
  EtcdTlsFiles,
} from './options.js';
export { startEtcd } from './start.js';
