/**
 * What must have happened in a comparison for it to mean something: every operation, every refusal that a client can
 * bring about, and everything a watch can say.
 */
const EXPECTED = [
  'KV.Range',
  'range stream',
  'KV.Put',
  'KV.DeleteRange',
  'KV.Txn',
  'KV.Compact',
  'Lease.LeaseGrant',
  'Lease.LeaseRevoke',
  'Lease.LeaseTimeToLive',
  'Lease.LeaseLeases',
  'brief lease',
  'keep alive',
  'watch',
  'cancel',
  'progress',
  'end',
  'error: 3 etcdserver: key is not provided',
  'error: 3 etcdserver: key not found',
  'error: 3 etcdserver: value is provided',
  'error: 3 etcdserver: lease is provided',
  'error: 3 etcdserver: too many operations in txn request',
  'error: 3 etcdserver: duplicate key given in txn request',
  'error: 3 etcdserver: invalid sort option',
  'error: 3 etcdserver: request is too large',
  'error: 5 etcdserver: requested lease not found',
  'error: 8 grpc: received message larger than max (...)',
  'error: 9 etcdserver: lease already exists',
  'error: 11 etcdserver: mvcc: required revision has been compacted',
  'error: 11 etcdserver: mvcc: required revision is a future revision',
  'error: 11 etcdserver: too large lease TTL',
  'error: 12 RangeStream does not support custom sort orders',
  'error: 12 RangeStream does not support revision filters',
  'watch: created',
  'watch: canceled',
  'watch: canceled by compaction',
  'watch: progress',
  'watch: put',
  'watch: put with prevKv',
  'watch: deletion',
  'watch: deletion with prevKv',
  'watch: refused: mvcc: watcher range is empty',
  'watch: refused: mvcc: duplicate watch ID provided on the WatchStream',
  'watch: refused: etcdserver: mvcc: required revision has been compacted',
  'watch: fragment',
];

/** The rarest of them may be expected once in so many requests. */
const RAREST = 20_000;

/** What happened too seldom in so many requests, with how often it did. */
export function tooSeldom(requests: number, counts: ReadonlyMap<string, number>): string[] {
  const least = Math.max(1, Math.floor(requests / RAREST));
  return EXPECTED.filter((what) => (counts.get(what) ?? 0) < least).map(
    (what) => `${what}: ${counts.get(what) ?? 0} times, should be ${least} at least`,
  );
}
