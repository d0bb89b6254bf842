import type { Etcd3Options } from '../../src/index.js';
import { type Episode, runEpisode } from './episode.js';
import type { Fault } from './fault.js';
import { type Site, type SiteKind, startSite } from './site.js';

/** Clusters, each started when it is first needed. */
export class Sites implements AsyncDisposable {
  readonly #sites = new Map<SiteKind, Promise<Site>>();
  readonly #transport: NonNullable<Etcd3Options['transport']>;

  /** @param transport - what carries the calls of clients */
  constructor(transport: NonNullable<Etcd3Options['transport']>) {
    this.#transport = transport;
  }

  /** One fault, on the cluster that it needs. */
  async run(fault: Fault): Promise<Episode> {
    const { site: kind = 'plain' } = fault;
    const site = this.#sites.get(kind) ?? startSite(kind);
    this.#sites.set(kind, site);
    const { options, ...rest } = await site;
    return runEpisode({ ...rest, options: { ...options, transport: this.#transport } }, fault);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const started = await Promise.allSettled(this.#sites.values());
    const sites = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    await Promise.all(sites.map((site) => site.close()));
  }
}

/** What was wrong in an episode, a line each. */
export function complaints({ cells, wrong }: Episode): string[] {
  return [...cells.flatMap((cell) => cell.wrong.map((what) => `${cell.verb}: ${what}`)), ...wrong];
}
