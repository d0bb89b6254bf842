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

/** Three members (or so) on a network that can fail. */
export class ChaosCluster {
  readonly network: Network;
  readonly version: string;
  readonly members: readonly EtcdMember[];
  readonly #clusters: readonly EtcdCluster[];

  private constructor(network: Network, clusters: readonly EtcdCluster[]) {
    this.network = network;
    this.#clusters = clusters;
    this.version = clusters[0]?.version ?? '';
    this.members = clusters.map(({ members }) => members[0] as EtcdMember);
  }

  static async start(
    network: Network,
    profile: Profile,
    directory: string,
    signal: AbortSignal,
  ): Promise<ChaosCluster> {
    const { places } = network;
    const initialCluster = places
      .map(({ advertisedPeer }, i) => `m${i + 1}=${advertisedPeer}`)
      .join(',');
    const timers = profile === 'fast' ? { heartbeatInterval: 20, electionTimeout: 200 } : {};
    const clusters = await Promise.all(
      places.map((place, i) =>
        start({
          engine: 'etcd',
          binary: place.binary,
          name: `m${i + 1}`,
          dir: join(directory, `m${i + 1}`),
          listenClientUrls: [place.control, place.client],
          advertiseClientUrls: [`http://${place.proxy.endpoint}`],
          listenPeerUrls: [place.peer],
          advertisePeerUrls: [place.advertisedPeer],
          initialCluster,
          ...timers,
          snapshotCount: 1_000,
          watchProgressInterval: 100,
          unsafeNoFsync: true,
          logLevel: 'warn',
          signal,
        }),
      ),
    );
    const cluster = new ChaosCluster(network, clusters);
    const views = await cluster.views();
    network.identify(views.map(({ status }) => BigInt(status?.header.member_id ?? 0)));
    return cluster;
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

  /** Has everything work again. */
  async heal(): Promise<void> {
    await this.network.heal();
    for (const member of this.members) if (member.state === 'paused') member.resume();
    await Promise.all(this.members.map((member) => member.start()));
    const probe = async (index: number): Promise<void> => {
      for (let tries = 1; ; tries += 1) {
        try {
          return await this.gateway(index).probe(1_000);
        } catch (error) {
          if (tries === 30) throw error;
          await sleep(200);
        }
      }
    };
    await Promise.all(this.members.map((_, index) => probe(index)));
    await this.call('/v3/maintenance/alarm', { action: 'DEACTIVATE', alarm: 'NOSPACE' });
  }

  /** Ends all members at once. */
  async close(): Promise<void> {
    // Nothing here is to be kept.
    await Promise.all(this.members.map((member) => member.kill()));
    await Promise.all(this.#clusters.map((cluster) => cluster.stop()));
  }
}
