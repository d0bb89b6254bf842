import { ArgumentError } from './errors.js';
import type { LeaseOptions } from './lease.js';
import { milliseconds } from './validate.js';

/** All options of leases. */
export type LeaseTerms = Required<LeaseOptions>;

/** Fills in what is not given. @throws ArgumentError if an option is not usable. */
export function leaseTerms(options: LeaseOptions): LeaseTerms {
  const ttl = milliseconds('session.ttl', options.ttl ?? 15_000, 1_000);
  const margin = options.margin ?? Math.max(ttl / 5, Math.min(1_000, ttl / 4));
  if (milliseconds('session.margin', margin) >= ttl / 2) {
    throw new ArgumentError('session.margin', `less than half the ttl of ${ttl}`, margin);
  }
  const { keysPerLease = 1_000 } = options;
  if (!(Number.isSafeInteger(keysPerLease) && keysPerLease > 0)) {
    throw new ArgumentError('session.keysPerLease', 'a whole number from 1', keysPerLease);
  }
  return { ttl, margin, keysPerLease };
}
