import { ArgumentError } from '../store/errors.js';
import { milliseconds, wholeFrom } from '../validate.js';
import type { LeaseOptions } from './lease.js';

/** All options of leases. */
export type LeaseTerms = Required<LeaseOptions>;

/** Fills in what is not given. @throws ArgumentError if an option is not usable. */
export function leaseTerms(options: LeaseOptions): LeaseTerms {
  const ttl = milliseconds('session.ttl', options.ttl ?? 15_000, 1_000);
  const margin = options.margin ?? Math.max(ttl / 5, Math.min(1_000, ttl / 4));
  if (milliseconds('session.margin', margin) >= ttl / 2) {
    throw new ArgumentError('session.margin', `less than half the ttl of ${ttl}`, margin);
  }
  const keysPerLease = wholeFrom(1, 'session.keysPerLease', options.keysPerLease ?? 1_000);
  return { ttl, margin, keysPerLease };
}
