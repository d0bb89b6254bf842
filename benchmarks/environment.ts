import { existsSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { ensureEtcd } from '../scripts/get-etcd.js';
import { type EtcdCluster, start } from '../src/embed/index.js';

/** Where and on what it was measured. */
export interface Environment {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly etcd: string;
  readonly go: string | undefined;
  /** The machine's load in the minute before. */
  readonly load: number;
  /** Whether etcd's files were in memory. */
  readonly inMemory: boolean;
}

const memory = '/dev/shm';
const inMemory = existsSync(memory);

/** The directory below which a server keeps its data: on a disk if there is no memory to be had. */
export function placeOf(kind: 'memory' | 'disk'): string {
  return kind === 'memory' && inMemory ? memory : tmpdir();
}

/** What there is to say about this machine now. */
export function describe(etcd: string, go: string | undefined): Environment {
  const processors = cpus();
  return {
    date: new Date().toISOString(),
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    node: process.version,
    etcd,
    go,
    load: loadavg()[0] ?? Number.NaN,
    inMemory,
  };
}

/** The etcd that serves the benchmarks. */
export async function findServer(): Promise<{ readonly version: string; readonly binary: string }> {
  const { version, etcd } = await ensureEtcd('newest');
  return { version, binary: etcd };
}

/**
 * Runs `work` on an etcd of its own: without waits for a disk, since those would be most of what is measured,
 * and differ most between machines.
 */
export async function withEtcd<T>(
  binary: string,
  work: (endpoint: string) => Promise<T>,
): Promise<T> {
  await using etcd = await startInMemory(binary);
  return await work(etcd.endpoints[0] ?? '');
}

/** Starts one with etcd's own timing. A temporary directory, unlike one of ours, is removed even when we are killed: in memory it would stay there. */
export async function startInMemory(binary: string): Promise<EtcdCluster> {
  const { TMPDIR } = process.env;
  process.env['TMPDIR'] = placeOf('memory');
  try {
    return await start({ engine: 'etcd', binary, unsafeNoFsync: true, logLevel: 'error' });
  } finally {
    if (TMPDIR === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = TMPDIR;
  }
}
