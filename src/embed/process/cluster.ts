import { readFile } from 'node:fs/promises';
import { enableAuth } from './auth.js';
import { shareAutoCertificate } from './auto-tls.js';
import { type EtcdBinary, etcdEnv } from './binary.js';
import { etcdFlags } from './flags.js';
import type { Guard } from './guard.js';
import { initialCluster, type MemberLayout } from './layout.js';
import { EtcdMember } from './member.js';
import type { EtcdOptions } from './options.js';

interface Status {
  readonly header: { readonly member_id: string };
  readonly leader?: string;
  readonly raftTerm: string;
}

/** What a cluster is made of. */
export interface ClusterSpec {
  readonly binary: EtcdBinary;
  readonly options: EtcdOptions;
  readonly layouts: readonly MemberLayout[];
  readonly guard: Guard;
}

/** A running etcd of one or several members. It ends with this process at the latest, however that ends. */
export class EtcdCluster {
  readonly engine = 'etcd' as const;
  /** The client URLs of all members, such as `http://127.0.0.1:12345`. */
  readonly endpoints: readonly string[];
  /** The members, in the order of `endpoints`. */
  readonly members: readonly EtcdMember[];
  /** The version of etcd, such as `3.5.30`. */
  readonly version: string;
  readonly #spec: ClusterSpec;
  #ca: string | undefined;
  #stopping: Promise<void> | undefined;

  /** @internal */
  constructor(spec: ClusterSpec) {
    const { binary, options, layouts, guard } = spec;
    const all = options.initialCluster ?? initialCluster(layouts);
    const env = etcdEnv(options.env);
    this.#spec = spec;
    this.version = binary.version;
    this.endpoints = layouts.flatMap((layout) => layout.advertiseClientUrls);
    this.members = layouts.map((layout) => {
      const args = etcdFlags(options, layout, all, binary.minor);
      return new EtcdMember({ path: binary.path, args, env, layout, options, guard });
    });
  }

  /** The certificates a client must trust to reach every member, as PEM; `undefined` without TLS. */
  get ca(): string | undefined {
    return this.#ca;
  }

  /** Starts all members and sets up what the options ask for. @internal */
  async start(): Promise<void> {
    const { options } = this.#spec;
    await this.#startMembers(options);
    if (options.auth !== undefined) {
      await enableAuth((this.members[0] as EtcdMember).gateway, options.auth.password);
    }
    const caFile = this.members[0]?.caFile;
    this.#ca = caFile && (await readFile(caFile, 'utf8'));
  }

  /**
   * The member that leads now, as the running members see it; `undefined` while an election is under way or the
   * leader is paused. The answer may be outdated when it arrives.
   */
  async leader(): Promise<EtcdMember | undefined> {
    const running = this.members.filter((member) => member.state === 'running');
    const views = await Promise.all(
      running.map(async (member) => {
        const status = await member.gateway
          .call<Status>('/v3/maintenance/status', {})
          .catch(() => undefined);
        return { member, status };
      }),
    );
    // A leader that was cut off still believes in itself, in an older term.
    const [newest] = views
      .filter(({ status }) => status !== undefined && status.leader === status.header.member_id)
      .toSorted((a, b) => Number(b.status?.raftTerm) - Number(a.status?.raftTerm));
    return newest?.member;
  }

  /** Stops every member and removes temporary data. Calling it again waits for the same end. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** The same as `stop()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #startMembers({ signal, tls }: EtcdOptions): Promise<void> {
    const start = (member: EtcdMember): Promise<void> => member.start(signal && { signal });
    const [first, ...rest] = this.members as [EtcdMember, ...EtcdMember[]];
    const firstStarts = start(first);
    const othersStart =
      tls === 'auto'
        ? shareAutoCertificate(
            first.dataDir,
            rest.map((member) => member.dataDir),
            () => first.state !== 'stopped',
          ).then(() => Promise.all(rest.map(start)))
        : Promise.all(rest.map(start));
    await Promise.all([firstStarts, othersStart]);
  }

  async #stop(): Promise<void> {
    const { guard } = this.#spec;
    guard.seal();
    // A leader that finds nobody to hand over to would wait for seconds: it goes last.
    const leader = await this.leader();
    const others = this.members.filter((member) => member !== leader);
    await Promise.all(others.map((m) => (m.state === 'paused' ? m.kill() : m.stop())));
    await leader?.stop();
    await guard.close();
  }
}
