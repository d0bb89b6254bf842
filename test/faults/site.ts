import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type EtcdCluster,
  type EtcdMember,
  type EtcdOptions,
  FaultProxy,
  start,
} from '../../src/embed/index.js';
import { type Etcd3Options, Etcd3Store } from '../../src/index.js';
import { ChaosCluster, type Profile } from '../chaos/cluster.js';
import { proxyNetwork } from '../chaos/network.js';
import { makeCertificate } from '../embed/process/support/certificates.js';

/** What a cluster is like. */
export type SiteKind = 'plain' | 'password' | 'jwt' | 'tls';

/** Three members for faults to happen to, each behind a proxy. */
export interface Site {
  readonly members: readonly EtcdMember[];
  /** In front of each member's clients. */
  readonly proxies: readonly FaultProxy[];
  /** What clients need to be told besides endpoints. */
  readonly options: Partial<Etcd3Options>;
  /** Past all faults. */
  readonly admin: Etcd3Store;
  /** The place of the member that leads. */
  leader(): Promise<number>;
  /** Cuts a member off from the other members, not from clients. */
  isolate(index: number): Promise<void>;
  /** Has clients and members use new certificates. */
  rotate(): Promise<void>;
  /** Calls a member that answers, past all faults. */
  call<T>(path: string, body: object): Promise<T>;
  /** Has everything work again. */
  heal(): Promise<void>;
  close(): Promise<void>;
}

const count = 3;
const fast = { heartbeatInterval: 20, electionTimeout: 200, unsafeNoFsync: true } as const;

/** Starts one. The binary is that of `ETCD_BIN`. */
export function startSite(kind: SiteKind, profile: Profile = 'fast'): Promise<Site> {
  return kind === 'plain' ? plain(profile) : secured(kind);
}

const inapplicable = async (): Promise<never> => {
  throw new Error('not on this site');
};

async function plain(profile: Profile): Promise<Site> {
  const directory = await mkdtemp(join(tmpdir(), 'faults-'));
  const network = await proxyNetwork(process.env['ETCD_BIN'] || 'etcd', count);
  const cluster = await ChaosCluster.start(
    network,
    profile,
    directory,
    new AbortController().signal,
  );
  const admin = new Etcd3Store({ endpoints: cluster.controls });
  return {
    members: cluster.members,
    proxies: network.places.map(({ proxy }) => proxy),
    options: {},
    admin,
    leader: () => leading(async () => (await cluster.leader())?.index),
    isolate: (index) => {
      const others = [0, 1, 2].filter((other) => other !== index);
      const [out, into] = [
        others.map((to) => ({ from: index, to })),
        others.map((from) => ({ from, to: index })),
      ];
      return network.drop([...out, ...into]);
    },
    rotate: inapplicable,
    call: (path, body) => cluster.call(path, body),
    heal: () => cluster.heal(),
    async close() {
      admin.close();
      await cluster.close();
      await network.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function secured(kind: Exclude<SiteKind, 'plain'>): Promise<Site> {
  const directory = await mkdtemp(join(tmpdir(), 'faults-'));
  const { server, client, rotate } = await credentials(kind, directory);
  const cluster = await start({ engine: 'etcd', members: count, ...fast, ...server });
  const { members } = cluster;
  const proxies = await Promise.all(members.map(({ endpoint }) => FaultProxy.start(endpoint)));
  const admin = new Etcd3Store({ ...client, endpoints: cluster.endpoints });
  const heal = async (): Promise<void> => {
    for (const proxy of proxies) proxy.heal();
    await Promise.all(members.map((member) => member.start()));
  };
  return {
    members,
    proxies,
    options: client,
    admin,
    leader: () => leading(() => placeOfLeader(cluster)),
    isolate: inapplicable,
    rotate: async () => {
      await rotate();
      for (const proxy of proxies) {
        proxy.cut();
        proxy.heal();
      }
    },
    call: (path, body) => (members[0] as EtcdMember).gateway.call(path, body),
    heal,
    async close() {
      admin.close();
      await Promise.all(proxies.map((proxy) => proxy.close()));
      await cluster.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function placeOfLeader(cluster: EtcdCluster): Promise<number | undefined> {
  const leader = await cluster.leader();
  return leader && cluster.members.indexOf(leader);
}

async function leading(look: () => Promise<number | undefined>): Promise<number> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
  }
}

interface Credentials {
  readonly server: EtcdOptions;
  readonly client: Partial<Etcd3Options>;
  readonly rotate: () => Promise<void>;
}

const password = 'secret';

/** What members and clients are to know for each other. */
async function credentials(
  kind: Exclude<SiteKind, 'plain'>,
  directory: string,
): Promise<Credentials> {
  if (kind === 'tls') return certificates(directory);
  const server = { auth: { password }, bcryptCost: 4 };
  const rest = { client: { auth: { user: 'root', password } }, rotate: inapplicable };
  if (kind === 'password') return { server: { ...server, authTokenTtl: 1_000 }, ...rest };
  const [key, pub] = [join(directory, 'jwt.key'), join(directory, 'jwt.pub')];
  const openssl = (args: string): unknown => execFileSync('openssl', args.split(' '));
  openssl(`genrsa -out ${key} 2048`);
  openssl(`rsa -in ${key} -pubout -out ${pub}`);
  const authToken = `jwt,pub-key=${pub},priv-key=${key},sign-method=RS256,ttl=1s`;
  return { server: { ...server, authToken }, ...rest };
}

async function certificates(directory: string): Promise<Credentials> {
  const at = (name: string): string => join(directory, name);
  await Promise.all([mkdir(at('old')), mkdir(at('new'))]);
  const install = async (from: { cert: string; key: string }): Promise<void> => {
    await Promise.all([
      copyFile(from.cert, at('cert.pem')),
      copyFile(from.key, at('key.pem')),
      copyFile(from.cert, at('ca.pem')),
    ]);
  };
  await install(makeCertificate(at('old')));
  const fresh = makeCertificate(at('new'));
  return {
    server: { tls: { cert: at('cert.pem'), key: at('key.pem') } },
    client: { tls: { caFile: at('ca.pem') } },
    rotate: () => install(fresh),
  };
}
