import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { EtcdStartError } from '../errors.js';
import { type EtcdBinary, findEtcd } from './binary.js';
import { EtcdCluster } from './cluster.js';
import { Guard } from './guard.js';
import { discard, keepPeers, layOut, type MemberLayout } from './layout.js';
import type { EtcdOptions } from './options.js';
import { checkOptions } from './validate.js';

const ATTEMPTS = 5;

/**
 * Starts a real etcd on this machine and resolves when every member answers a linearizable read.
 *
 * It listens on loopback only unless URLs are given, does not keep this process alive, and ends with it.
 *
 * @throws ArgumentError when an option is not usable
 * @throws EtcdStartError with the end of etcd's log when it cannot be found or started, or is not ready in time
 */
export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdCluster> {
  checkOptions(options);
  if (process.platform === 'win32') {
    throw new EtcdStartError('a real etcd needs Linux or macOS; on Windows, use it inside WSL');
  }
  const binary = await findEtcd(options.binary);
  for (let attempt = 1; ; attempt += 1) {
    options.signal?.throwIfAborted();
    try {
      return await launch(options, binary);
    } catch (error) {
      if (attempt === ATTEMPTS || !lostItsPort(error)) {
        throw error;
      }
    }
  }
}

async function launch(options: EtcdOptions, binary: EtcdBinary): Promise<EtcdCluster> {
  const temporary = options.dir === undefined;
  const dir = resolve(options.dir ?? (await mkdtemp(join(tmpdir(), 'etcd-recipes-'))));
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const guard = await Guard.start(temporary ? dir : undefined);
  try {
    const layouts = await layOut(options, dir);
    const cluster = new EtcdCluster({ binary, options, layouts, guard });
    await bringUp(cluster, layouts);
    await keepPeers(dir, layouts);
    return cluster;
  } catch (error) {
    await guard.close();
    throw error;
  }
}

async function bringUp(cluster: EtcdCluster, layouts: readonly MemberLayout[]): Promise<void> {
  try {
    await cluster.start();
  } catch (error) {
    await cluster.stop();
    await Promise.all(layouts.map(discard));
    throw error;
  }
}

// Another process may have taken a port after we found it free.
function lostItsPort(error: unknown): boolean {
  return error instanceof EtcdStartError && error.log.includes('address already in use');
}
