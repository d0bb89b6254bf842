import { randomBytes } from 'node:crypto';

/** An ID for a lease. That we choose it makes a grant repeatable; 63 random bits are nobody else's. */
export function newLeaseId(): bigint {
  return (randomBytes(8).readBigUInt64BE() >> 1n) | 1n;
}
