import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EtcdCluster } from '../../src/embed/index.js';
import { type EtcdGateway, type EtcdMember, start } from '../../src/embed/index.js';
import type { Network } from './network.js';

/** Election timers: short ones, or those of production. */
export type Profile = 'fast' | 'prod';

interface Status {
  readonly header: { readonly member_id: string; readonly revision: string };
  readonly leader?: string;
  readonly raftTerm: string;
}

/** How a member is, by its own account; `status` is missing if it does not answer. */
export interface View {
  readonly index: number;
  readonly status: Status | undefined;
}

/** Starts one member: with the others, or when it was added to them. */
type Begin = (index: number, clusterState: 'new' | 'existing') => Promise<EtcdCluster>;

/** Bytes at which members take no more writes: so few that somebody can fill them up in a moment. */
const QUOTA = 32 << 20;
/** Milliseconds between two tries. */
const AGAIN = 200;

/** Three members (or so) on a network that can fail. */
export class ChaosCluster {
  readonly network: Network;
  readonly version: string;
  readonly #begin: Begin;
  readonly #clusters: EtcdCluster[];

  private constructor(network: Network, begin: Begin, clusters: EtcdCluster[]) {
    this.network = network;
    this.#begin = begin;
    this.#clusters = clusters;
    this.version = clusters[0]?.version ?? '';
  }

  /** @param quota - bytes at which members take no more writes */
  static async start(
    network: Network,
    profile: Profile,
    directory: string,
    signal: AbortSignal,
    quota: number = QUOTA,
  ): Promise<ChaosCluster> {
    const { places } = network;
    const initialCluster = places
      .map(({ advertisedPeer }, i) => `m${i + 1}=${advertisedPeer}`)
      .join(',');
    const timers = profile === 'fast' ? { heartbeatInterval: 20, electionTimeout: 200 } : {};
    const begin: Begin = (i, clusterState) => {
      const place = places[i] as (typeof places)[number];
      return start({
        engine: 'etcd',
        binary: place.binary,
        name: `m${i + 1}`,
        dir: join(directory, `m${i + 1}`),
        listenClientUrls: [place.control, place.client],
        advertiseClientUrls: [`http://${place.proxy.endpoint}`],
        listenPeerUrls: [place.peer],
        advertisePeerUrls: [place.advertisedPeer],
        initialCluster,
        clusterState,
        ...timers,
        snapshotCount: 1_000,
        quotaBackendBytes: quota,
        watchProgressInterval: 100,
        unsafeNoFsync: true,
        logLevel: 'warn',
        signal,
      });
    };
    const clusters = await Promise.all(places.map((_, i) => begin(i, 'new')));
    const cluster = new ChaosCluster(network, begin, clusters);
    await cluster.#identify();
    return cluster;
  }

  get members(): EtcdMember[] {
    return this.#clusters.map(({ members }) => members[0] as EtcdMember);
  }

  /** For clients. */
  get endpoints(): string[] {
    return this.network.places.map(({ proxy }) => proxy.endpoint);
  }

  /** For the harness: past all faults. */
  get controls(): string[] {
    return this.network.places.map(({ control }) => control);
  }

  gateway(index: number): EtcdGateway {
    return (this.members[index] as EtcdMember).gateway;
  }

  /** What the members that answer within a moment say of themselves. */
  views(patience = 1_000): Promise<View[]> {
    const ask = async (index: number): Promise<View> => {
      const answer = this.gateway(index).call<Status>('/v3/maintenance/status', {});
      const late = sleep(patience, undefined, { ref: false });
      const status = await Promise.race([answer.catch(() => undefined), late]);
      return { index, status };
    };
    return Promise.all(this.members.map((_, index) => ask(index)));
  }

  /** Who leads, in which term; `undefined` while nobody does. */
  async leader(): Promise<{ index: number; term: number } | undefined> {
    const views = await this.views();
    const [newest] = views
      .flatMap(({ index, status }) =>
        status && status.leader === status.header.member_id
          ? [{ index, term: Number(status.raftTerm) }]
          : [],
      )
      .toSorted((a, b) => b.term - a.term);
    return newest;
  }

  /** Calls the member that leads, or else whichever answers. */
  async call<T>(path: string, body: object): Promise<T> {
    const leader = await this.leader();
    const order = this.members.map((_, i) => i).toSorted((a) => (a === leader?.index ? -1 : 0));
    let failure: unknown;
    for (const index of order) {
      if (this.members[index]?.state !== 'running') continue;
      try {
        return await this.gateway(index).call<T>(path, body);
      } catch (error) {
        failure = error;
      }
    }
    throw failure instanceof Error ? failure : new Error(`${path}: no member runs`);
  }

  /** Takes a member out of the cluster, and ends it. */
  async remove(index: number): Promise<void> {
    const status = await this.gateway(index).call<Status>('/v3/maintenance/status', {});
    await this.#reconfigure('remove', { ID: status.header.member_id });
    await this.members[index]?.kill();
  }

  /** Adds a member without data in the place of one that was removed. */
  async add(index: number): Promise<void> {
    const { dataDir, peerUrl } = this.members[index] as EtcdMember;
    await this.#clusters[index]?.stop();
    await rm(dataDir, { recursive: true, force: true });
    await this.#reconfigure('add', { peerURLs: [peerUrl] });
    this.#clusters[index] = await this.#begin(index, 'existing');
    await this.#identify();
  }

  /** Has everything work again. */
  async heal(): Promise<void> {
    await this.network.heal();
    for (const member of this.members) if (member.state === 'paused') member.resume();
    await Promise.all(this.members.map((member) => member.start()));
    const probe = (index: number): Promise<void> =>
      again(30, () => this.gateway(index).probe(1_000));
    await Promise.all(this.members.map((_, index) => probe(index)));
    await this.disarm();
  }

  /** Ends every alarm, whichever member raised it. */
  async disarm(): Promise<void> {
    interface Alarms {
      readonly alarms?: readonly { readonly memberID: string; readonly alarm: string }[];
    }
    const alarm = (request: object): Promise<Alarms> => this.call('/v3/maintenance/alarm', request);
    await again(20, async () => {
      const { alarms = [] } = await alarm({ action: 'GET' });
      for (const one of alarms) await alarm({ action: 'DEACTIVATE', ...one });
      const raised = alarms.map((one) => `${one.alarm} of ${one.memberID}`).join(', ');
      if (raised) throw new Error(`alarms were raised, and may be again: ${raised}`);
    });
  }

  /** Ends all members at once. */
  async close(): Promise<void> {
    // Nothing here is to be kept.
    await Promise.all(this.members.map((member) => member.kill()));
    await Promise.all(this.#clusters.map((cluster) => cluster.stop()));
  }

  async #identify(): Promise<void> {
    const views = await this.views();
    this.network.identify(views.map(({ status }) => BigInt(status?.header.member_id ?? 0)));
  }

  #reconfigure(what: 'add' | 'remove', request: object): Promise<unknown> {
    return again(60, async () => {
      await this.call(`/v3/cluster/member/${what}`, request).catch((error: Error) => {
        // An earlier try without an answer may have done it.
        if (!/already exists|not found/.test(error.message)) throw error;
      });
    });
  }
}

/** Tries so many times at most, as operators do: members refuse much until all have been in touch for 5 s. */
export async function again<T>(times: number, work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      if (tries === times) throw error;
      await sleep(AGAIN);
    }
  }
}
