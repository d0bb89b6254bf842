import type { Version } from '../mvcc/version.js';
import type { KeyValue } from '../wire/common.js';

/** A version in the form in which clients get it. */
export function toKeyValue(version: Version): KeyValue {
  return {
    key: version.key,
    createRevision: version.create,
    modRevision: version.mod,
    version: version.version,
    value: version.value,
    lease: version.lease,
  };
}
