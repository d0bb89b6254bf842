import { createHash } from 'node:crypto';

/** A key, as etcd has it. */
export interface Digested {
  readonly key: string;
  readonly value: string;
  readonly modRevision: number | bigint;
  readonly createRevision: number | bigint;
  readonly version: number | bigint;
}

/** The same for two states, given in the order of keys, where they are the same. */
export function digestOf(state: Iterable<Digested>): string {
  const hash = createHash('sha1');
  for (const { key, value, modRevision, createRevision, version } of state) {
    hash.update(`${key}=${value} ${modRevision} ${createRevision} ${version}\n`);
  }
  return hash.digest('base64');
}
