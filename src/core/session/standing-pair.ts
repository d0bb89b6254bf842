import type { KeyValue, Operation } from '../store/store.js';

/** What is there once a value was put at this revision, on top of what was there, as far as it matters to who put it. */
export function pairOf(
  key: string,
  value: Buffer,
  lease: bigint,
  modRevision: bigint,
  before: KeyValue | undefined,
): KeyValue {
  const createRevision = before?.createRevision ?? modRevision;
  return { key: Buffer.from(key), value, lease, modRevision, createRevision, version: 0n };
}

/** Deletes a key that hangs on one of these leases. */
export function removalUnder(leases: Iterable<bigint>, key: string): readonly Operation[] {
  return [...leases].reduce<Operation[]>((failure, to) => {
    const compare = [{ key, target: 'lease', to }] as const;
    return [{ txn: { compare, success: [{ delete: { key } }], failure } }];
  }, []);
}
