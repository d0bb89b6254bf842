import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ArgumentError } from '../../core/store/errors.js';
import type { EtcdOptions } from './options.js';
import { freePorts } from './ports.js';

const PEERS_FILE = 'peers.json';

/** Where one member lives: its directories and URLs. */
export interface MemberLayout {
  readonly name: string;
  readonly dataDir: string;
  readonly walDir: string | undefined;
  readonly listenClientUrls: readonly string[];
  readonly advertiseClientUrls: readonly string[];
  readonly listenPeerUrls: readonly string[];
  readonly advertisePeerUrls: readonly string[];
  /** Whether the member's data directory was empty, so that what a failed start left in it is of no use. */
  readonly fresh: boolean;
}

/** Gives every member a name, its directories under `dir`, and free ports unless URLs are given. */
export async function layOut(options: EtcdOptions, dir: string): Promise<MemberLayout[]> {
  const count = options.members ?? 1;
  const names = memberNames(options.name ?? 'etcd', count);
  const ports = await freePorts(2 * count);
  const keptPeers = await readPeers(dir, names);
  const place = (root: string, name: string): string => join(resolve(root), count > 1 ? name : '');
  const layouts: MemberLayout[] = [];
  for (const [index, name] of names.entries()) {
    const client = options.listenClientUrls ?? [url(options.tls, ports[2 * index])];
    const peer = options.listenPeerUrls ?? [
      keptPeers?.[name] ?? url(options.peerTls, ports[2 * index + 1]),
    ];
    const dataDir = place(dir, name);
    layouts.push({
      name,
      dataDir,
      walDir: options.walDir && place(options.walDir, name),
      listenClientUrls: client,
      advertiseClientUrls: options.advertiseClientUrls ?? client,
      listenPeerUrls: peer,
      advertisePeerUrls: options.advertisePeerUrls ?? peer,
      fresh: await isEmpty(dataDir),
    });
  }
  return layouts;
}

/** What etcd calls the initial cluster: every member's name with each URL it has for its peers. */
export function initialCluster(layouts: readonly MemberLayout[]): string {
  return layouts
    .flatMap(({ name, advertisePeerUrls }) => advertisePeerUrls.map((peer) => `${name}=${peer}`))
    .join(',');
}

/** Keeps the peer URLs beside the data: members find each other again only where they were. */
export async function keepPeers(dir: string, layouts: readonly MemberLayout[]): Promise<void> {
  if (layouts.length > 1) {
    const peers = layouts.map(({ name, listenPeerUrls }) => [name, listenPeerUrls[0]]);
    await writeFile(
      join(dir, PEERS_FILE),
      `${JSON.stringify(Object.fromEntries(peers), null, 2)}\n`,
    );
  }
}

/** Empties what a failed first start left of a member; leaves data alone that was there before. */
export async function discard(layout: MemberLayout): Promise<void> {
  if (layout.fresh) {
    for (const directory of [layout.dataDir, layout.walDir ?? layout.dataDir]) {
      for (const entry of await readdir(directory).catch(() => [])) {
        await rm(join(directory, entry), { recursive: true, force: true });
      }
    }
  }
}

function memberNames(base: string, count: number): string[] {
  return count === 1 ? [base] : Array.from({ length: count }, (_, index) => `${base}-${index + 1}`);
}

function url(tls: unknown, port: number | undefined): string {
  return `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
}

async function isEmpty(directory: string): Promise<boolean> {
  return (await readdir(directory).catch(() => [])).length === 0;
}

async function readPeers(
  dir: string,
  names: readonly string[],
): Promise<Record<string, string> | undefined> {
  const text = await readFile(join(dir, PEERS_FILE), 'utf8').catch(() => undefined);
  if (text === undefined) {
    return undefined;
  }
  const peers = JSON.parse(text) as Record<string, string>;
  const kept = Object.keys(peers);
  if (names.length !== kept.length || names.some((name) => !kept.includes(name))) {
    throw new ArgumentError('members', `those kept in "${dir}": ${kept.join(', ')}`, names);
  }
  return peers;
}
