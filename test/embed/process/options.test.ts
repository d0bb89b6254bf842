import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../../../src/core/store/errors.js';
import { type EtcdOptions, start } from '../../../src/embed/index.js';
import { etcdFlags } from '../../../src/embed/process/flags.js';
import type { MemberLayout } from '../../../src/embed/process/layout.js';

const url = 'http://127.0.0.1:2379';

const refused: readonly (readonly [EtcdOptions, string])[] = [
  [{ members: 0 }, 'members must be a whole number >= 1, got 0'],
  [{ members: 1.5 }, 'members must be a whole number >= 1, got 1.5'],
  [{ heartbeatInterval: 0 }, 'heartbeatInterval must be a whole number >= 1, got 0'],
  [
    { heartbeatInterval: 300 },
    'electionTimeout must be whole milliseconds from 1500 (five heartbeats) to 50000, got 1000',
  ],
  [{ electionTimeout: 50_001 }, 'electionTimeout must be'],
  [{ electionTimeout: 499 }, 'electionTimeout must be'],
  [{ snapshotCount: 0 }, 'snapshotCount must be'],
  [{ quotaBackendBytes: 0.5 }, 'quotaBackendBytes must be a whole number, got 0.5'],
  [{ maxTxnOps: 0 }, 'maxTxnOps must be'],
  [{ maxRequestBytes: -1 }, 'maxRequestBytes must be'],
  [{ bcryptCost: 32 }, 'bcryptCost must be a whole number >= 4 and <= 31, got 32'],
  [{ watchProgressInterval: 0 }, 'watchProgressInterval must be'],
  [{ authTokenTtl: 999 }, 'authTokenTtl must be a finite number of milliseconds >= 1000, got 999'],
  [{ startTimeout: Number.NaN }, 'startTimeout must be'],
  [{ keepAlive: { minTime: -1 } }, 'keepAlive.minTime must be'],
  [{ keepAlive: { interval: -1 } }, 'keepAlive.interval must be'],
  [{ keepAlive: { timeout: -1 } }, 'keepAlive.timeout must be'],
  [{ autoCompaction: { mode: 'periodic', retention: 0 } }, 'autoCompaction.retention must be'],
  [
    { autoCompaction: { mode: 'daily' as 'periodic', retention: 1 } },
    "autoCompaction.mode must be one of periodic, revision, got 'daily'",
  ],
  [{ logLevel: 'loud' as 'info' }, 'logLevel must be one of debug, info, warn'],
  [{ members: 3, listenClientUrls: [url] }, 'listenClientUrls must be left out when "members"'],
  [{ members: 3, initialCluster: 'a=b' }, 'initialCluster must be left out when "members"'],
  [{ clusterState: 'existing' }, 'initialCluster must be given when "clusterState" is "existing"'],
  [{ clusterState: 'old' as 'new' }, 'clusterState must be one of new, existing'],
  [{ listenClientUrls: [] }, 'listenClientUrls must be a list with at least one URL'],
  [{ listenClientUrls: ['127.0.0.1:2379'] }, 'listenClientUrls must be URLs like http://<IP'],
  [{ listenClientUrls: ['http://example.com:2379'] }, 'listenClientUrls must be'],
  [{ listenClientUrls: ['http://127.0.0.1'] }, 'listenClientUrls must be'],
  [{ listenClientUrls: ['http://127.0.0.1:0'] }, 'listenClientUrls must be'],
  [{ listenClientUrls: [url], tls: 'auto' }, 'listenClientUrls must be URLs like https://'],
  [{ listenPeerUrls: [url], peerTls: 'auto' }, 'listenPeerUrls must be URLs like https://'],
  [{ advertisePeerUrls: ['example.com'] }, 'advertisePeerUrls must be URLs like http://<host>'],
  [{ listenClientUrls: ['http://0.0.0.0:2379'] }, 'advertiseClientUrls must be given when'],
  [{ listenPeerUrls: ['http://[::]:2380'] }, 'advertisePeerUrls must be given when'],
  [{ tls: { cert: '/no/such', key: '/no/such' } }, 'tls.cert must be the path of an existing file'],
  [{ peerTls: 'yes' as 'auto' }, 'peerTls must be "auto" or an object'],
  [{ name: 'a b' }, 'name must be'],
  [{ dir: '' }, 'dir must be a non-empty string'],
  [{ auth: { password: '' } }, 'auth.password must be a non-empty string'],
  [{ flags: ['snapshot-count=1'] }, 'flags must be texts like "--flag=value"'],
  [{ flags: ['--data-dir=/tmp'] }, 'flags must be flags that no option sets'],
];

describe('an option that etcd would refuse', () => {
  it.each(refused)('is refused before anything starts: %j', async (options, message) => {
    const starting = start({ engine: 'etcd', ...options });
    await expect(starting).rejects.toThrow(ArgumentError);
    await expect(starting).rejects.toThrow(message);
  });
});

describe('the command line', () => {
  const layout: MemberLayout = {
    name: 'm',
    dataDir: '/data',
    walDir: undefined,
    listenClientUrls: [url],
    advertiseClientUrls: [url, 'http://example.com:2379'],
    listenPeerUrls: ['http://127.0.0.1:2380'],
    advertisePeerUrls: ['http://127.0.0.1:2380'],
    fresh: true,
  };
  const flags = (options: EtcdOptions, minor = 7): string[] =>
    etcdFlags(options, layout, 'm=http://127.0.0.1:2380', minor);

  it('says where the member is, and leaves the rest to the defaults of etcd', () => {
    expect(flags({})).toEqual([
      '--name=m',
      '--data-dir=/data',
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url},http://example.com:2379`,
      '--listen-peer-urls=http://127.0.0.1:2380',
      '--initial-advertise-peer-urls=http://127.0.0.1:2380',
      '--initial-cluster=m=http://127.0.0.1:2380',
      '--initial-cluster-state=new',
      '--logger=zap',
      '--log-outputs=stderr',
    ]);
  });

  it('names a flag as the version of etcd does', () => {
    const options = { watchProgressInterval: 100 };
    const name = 'watch-progress-notify-interval=100ms';
    expect(flags(options, 4)).toContain(`--experimental-${name}`);
    expect(flags(options, 5)).toContain(`--experimental-${name}`);
    expect(flags(options, 6)).toContain(`--${name}`);
  });

  it('asks clients for certificates only when told to, and lets members check each other', () => {
    const files = { cert: 'c', key: 'k', ca: 'a' };
    const quiet = flags({ tls: files, peerTls: files });
    expect(quiet).not.toContain('--trusted-ca-file=a');
    expect(quiet).toContain('--peer-trusted-ca-file=a');
    const strict = flags({ tls: { ...files, clientCertAuth: true } });
    expect(strict).toEqual(
      expect.arrayContaining(['--trusted-ca-file=a', '--client-cert-auth=true']),
    );
  });

  it('gives time as etcd reads it', () => {
    expect(flags({ autoCompaction: { mode: 'periodic', retention: 1500 } })).toContain(
      '--auto-compaction-retention=1500ms',
    );
    expect(flags({ autoCompaction: { mode: 'revision', retention: 1500 } })).toContain(
      '--auto-compaction-retention=1500',
    );
    expect(flags({ authTokenTtl: 1500 })).toContain('--auth-token-ttl=2');
  });
});
