import { ArgumentError } from '../../core/store/errors.js';
import type { EtcdTlsFiles } from '../shared-options.js';
import type { MemberLayout } from './layout.js';
import type { EtcdOptions } from './options.js';

type Flags = Record<string, string | number | boolean | undefined>;

// Up to 3.5 the flag had a prefix that 3.7 no longer knows.
const LAST_EXPERIMENTAL_MINOR = 5;

/**
 * The command line of one member.
 * @throws ArgumentError when `options.flags` repeats what an option sets
 */
export function etcdFlags(
  options: EtcdOptions,
  layout: MemberLayout,
  cluster: string,
  minor: number,
): string[] {
  const flags: Flags = {
    ...identityFlags(options, layout, cluster),
    ...tuningFlags(options, minor),
    ...tlsFlags('', options.tls),
    ...tlsFlags('peer-', options.peerTls),
    'auth-token': options.authToken,
    'auth-token-ttl': options.authTokenTtl && Math.ceil(options.authTokenTtl / 1000),
    'bcrypt-cost': options.bcryptCost,
    // 3.4 would choose another logger, and journald under systemd.
    logger: 'zap',
    'log-outputs': 'stderr',
    'log-level': options.logLevel,
  };
  const set = Object.entries(flags).filter(([, value]) => value !== undefined);
  const names = new Set(set.map(([name]) => name));
  const repeated = options.flags?.find((flag) => names.has(flag.slice(2).split('=', 1)[0] ?? ''));
  if (repeated !== undefined) {
    throw new ArgumentError('flags', 'flags that no option sets', repeated);
  }
  return [...set.map(([name, value]) => `--${name}=${value}`), ...(options.flags ?? [])];
}

function identityFlags(options: EtcdOptions, layout: MemberLayout, cluster: string): Flags {
  return {
    name: layout.name,
    'data-dir': layout.dataDir,
    'wal-dir': layout.walDir,
    'listen-client-urls': layout.listenClientUrls.join(','),
    'advertise-client-urls': layout.advertiseClientUrls.join(','),
    'listen-peer-urls': layout.listenPeerUrls.join(','),
    'initial-advertise-peer-urls': layout.advertisePeerUrls.join(','),
    'initial-cluster': cluster,
    'initial-cluster-state': options.clusterState ?? 'new',
    'initial-cluster-token': options.clusterToken,
  };
}

function tuningFlags(options: EtcdOptions, minor: number): Flags {
  const progress = 'watch-progress-notify-interval';
  return {
    'heartbeat-interval': options.heartbeatInterval,
    'election-timeout': options.electionTimeout,
    'pre-vote': options.preVote,
    'snapshot-count': options.snapshotCount,
    'quota-backend-bytes': options.quotaBackendBytes,
    'max-txn-ops': options.maxTxnOps,
    'max-request-bytes': options.maxRequestBytes,
    'auto-compaction-mode': options.autoCompaction?.mode,
    'auto-compaction-retention': retention(options.autoCompaction),
    [minor <= LAST_EXPERIMENTAL_MINOR ? `experimental-${progress}` : progress]: duration(
      options.watchProgressInterval,
    ),
    'grpc-keepalive-min-time': duration(options.keepAlive?.minTime),
    'grpc-keepalive-interval': duration(options.keepAlive?.interval),
    'grpc-keepalive-timeout': duration(options.keepAlive?.timeout),
    'unsafe-no-fsync': options.unsafeNoFsync,
  };
}

function tlsFlags(side: '' | 'peer-', tls: 'auto' | EtcdTlsFiles | undefined): Flags {
  if (tls === undefined || tls === 'auto') {
    return { [`${side}auto-tls`]: tls && true };
  }
  // To etcd, a CA for clients means that clients must present certificates; members need one to check each other.
  const checksOthers = side === 'peer-' || tls.clientCertAuth === true;
  return {
    [`${side}cert-file`]: tls.cert,
    [`${side}key-file`]: tls.key,
    [`${side}client-cert-auth`]: tls.clientCertAuth,
    [`${side}trusted-ca-file`]: checksOthers ? (tls.ca ?? tls.cert) : undefined,
  };
}

function retention(compaction: EtcdOptions['autoCompaction']): string | undefined {
  return compaction?.mode === 'periodic'
    ? duration(compaction.retention)
    : compaction?.retention.toString();
}

function duration(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : `${milliseconds}ms`;
}
