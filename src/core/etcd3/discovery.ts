// As a whole: what `setServers` changes is not seen through single names.
import dns from 'node:dns/promises';
import { ClusterClient } from 'etcd3';
import type { AttemptOptions, Endpoint } from './endpoint.js';

/** Where endpoints are found by name. */
export interface SrvOptions {
  /** The domain whose SRV records name the members. */
  readonly domain: string;
  /** Tells clusters of one domain apart, as `etcd --discovery-srv-name`. @defaultValue none */
  readonly name?: string;
}

/**
 * The endpoints that a domain's SRV records name, as etcd's own clients look them up: `_etcd-client-ssl._tcp` for TLS and
 * `_etcd-client._tcp` without, the best priority first.
 *
 * @throws Error if there is no record of either kind; it tells what was looked for
 */
export async function discover({ domain, name }: SrvOptions): Promise<string[]> {
  const suffix = name === undefined ? '' : `-${name}`;
  const looked = await Promise.allSettled([
    lookUp(`_etcd-client-ssl${suffix}._tcp.${domain}`, 'https'),
    lookUp(`_etcd-client${suffix}._tcp.${domain}`, 'http'),
  ]);
  const found = looked.flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
  if (found.length > 0) return found;
  throw new AggregateError(
    looked.flatMap((each) => (each.status === 'rejected' ? [each.reason as Error] : [])),
    `no SRV records _etcd-client-ssl${suffix}._tcp or _etcd-client${suffix}._tcp of ${domain}`,
  );
}

async function lookUp(service: string, scheme: string): Promise<string[]> {
  const records = await dns.resolveSrv(service);
  return records
    .toSorted((a, b) => a.priority - b.priority || b.weight - a.weight)
    .map(({ name, port }) => `${scheme}://${name}:${port}`);
}

/** What the members of the cluster say their endpoints are: those that serve clients, without learners. */
export async function membersOf(endpoint: Endpoint, options: AttemptOptions): Promise<string[]> {
  const { members } = await new ClusterClient(endpoint).memberList({}, options);
  return members
    .filter(({ name, isLearner }) => name !== '' && !isLearner)
    .flatMap(({ clientURLs }) => clientURLs.slice(0, 1));
}
