import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findEtcd } from '../src/embed/process/binary.js';
import { buildableLines, type EtcdSource, SOURCES } from './etcd-sources.js';

/** An etcd on this machine. */
export interface EtcdTools {
  /** Such as `3.4.23`. */
  readonly version: string;
  /** Path of the server. */
  readonly etcd: string;
  /** Path of the command line client. */
  readonly etcdctl: string;
}

const wanted = new Map<string, Promise<EtcdTools>>();

/**
 * Gives an etcd of a release line: one that was fetched before, one that is installed, or one that is fetched now
 * and kept in the user's cache directory. Several processes may ask at the same time.
 *
 * @param release a line such as `3.4`, or `newest`
 * @throws Error that tells what was tried, and what can be done
 */
export function ensureEtcd(release: string): Promise<EtcdTools> {
  const line = release === 'newest' ? (buildableLines().at(-1) as string) : release;
  const provided = wanted.get(line) ?? provide(line);
  wanted.set(line, provided);
  return provided;
}

async function provide(line: string): Promise<EtcdTools> {
  if (!/^3\.\d+$/.test(line)) {
    throw new Error(`a release line looks like 3.4, or is "newest"; got "${line}"`);
  }
  const cache = join(
    process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'),
    'etcd-recipes/etcd',
  );
  mkdirSync(cache, { recursive: true });
  const present = fromCache(cache, line) ?? (await fromSystem(line));
  if (present !== undefined) {
    return present;
  }
  const failures: string[] = [];
  for (const [name, source] of Object.entries(SOURCES)) {
    console.error(`etcd ${line}: trying ${name}`);
    try {
      return await fetchInto(cache, line, source);
    } catch (error) {
      failures.push(`- ${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const build = buildableLines().includes(line) ? 'Install Go (https://go.dev/dl), or put' : 'Put';
  throw new Error(`No etcd ${line} was found here, and none could be fetched:
${failures.join('\n')}
${build} its etcd and etcdctl side by side into a directory of PATH, or into
${join(cache, `${line}.<patch>`)}`);
}

function fromCache(cache: string, line: string): EtcdTools | undefined {
  const patch = (version: string): number => Number(version.slice(line.length + 1));
  return readdirSync(cache)
    .filter((version) => version.startsWith(`${line}.`))
    .toSorted((a, b) => patch(b) - patch(a))
    .map((version) => tools(version, join(cache, version)))
    .find((found) => found !== undefined);
}

async function fromSystem(line: string): Promise<EtcdTools | undefined> {
  for (const name of [process.env['ETCD_BIN'], 'etcd']) {
    const found = name ? await findEtcd(name).catch(() => undefined) : undefined;
    const complete =
      found?.version.startsWith(`${line}.`) && tools(found.version, dirname(found.path));
    if (complete) {
      return complete;
    }
  }
  return undefined;
}

function tools(version: string, directory: string): EtcdTools | undefined {
  const found = { version, etcd: join(directory, 'etcd'), etcdctl: join(directory, 'etcdctl') };
  return existsSync(found.etcd) && existsSync(found.etcdctl) ? found : undefined;
}

async function fetchInto(cache: string, line: string, source: EtcdSource): Promise<EtcdTools> {
  const unfinished = mkdtempSync(join(cache, 'unfinished-'));
  try {
    await source(line, unfinished);
    const { version } = await findEtcd(join(unfinished, 'etcd'));
    // If another process was faster, its result is as good.
    await rename(unfinished, join(cache, version)).catch(() => {});
    const found = fromCache(cache, line);
    if (found === undefined) {
      throw new Error(`it gave etcd ${version}, or no etcdctl`);
    }
    return found;
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const releases = process.argv.slice(2);
  for (const release of releases.length > 0 ? releases : ['newest']) {
    try {
      const { etcd, etcdctl } = await ensureEtcd(release);
      console.log(`${etcd}\n${etcdctl}`);
    } catch (error) {
      console.error(error instanceof Error ? error.message : error);
      process.exitCode = 1;
    }
  }
}
