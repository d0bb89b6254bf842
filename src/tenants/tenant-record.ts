import { fieldsIn, ownerOf } from '../core/line/ticket.js';
import type { Owner } from '../core/session/session.js';
import { ArgumentError } from '../core/store/errors.js';
import { wholeFrom } from '../core/validate.js';

/**
 * How a tenant is kept apart:
 * - `server`: etcd lets the tenant's user do nothing outside of the prefix;
 * - `best-effort`: the same, on an etcd whose release is known to have gaps in that (see `Tenants.status`);
 * - `prefix`: by the prefix alone, without a user: whoever means well stays inside.
 */
export type TenantIsolation = 'server' | 'best-effort' | 'prefix';

/** What can be done to a tenant. */
export type TenantAction = 'create' | 'rotate' | 'suspend' | 'resume' | 'quota' | 'delete';

/**
 * - `creating`: not ready for use yet, or not any more, as whoever created it was interrupted: create it again;
 * - `active`: its user is let in;
 * - `suspended`: its user is kept out, its data stays;
 * - `deleting`: its user is gone, its data going; as long as it stays so, whoever deleted it was interrupted: delete it again.
 */
export type TenantState = 'creating' | 'active' | 'suspended' | 'deleting';

/** How much a tenant may have; what is left out has no limit. */
export interface Quota {
  /** Keys inside the prefix. */
  readonly keys?: number;
  /** Bytes of all keys, without the prefix, and values. */
  readonly bytes?: number;
}

/** Who did something, and when. */
export interface Stamp {
  /** Milliseconds since 1970, by the wall clock of who did it. */
  readonly at: number;
  /** Who did it; `undefined` if it is not said. */
  readonly by: Owner | undefined;
}

/** Something that was begun to be done to a tenant. */
export interface TenantChange extends Stamp {
  readonly action: TenantAction;
  /** Why, if that was said. */
  readonly reason?: string | undefined;
}

/** What the registry has of a tenant. */
export interface TenantRecord {
  readonly state: TenantState;
  readonly isolation: TenantIsolation;
  readonly quota: Quota;
  readonly created: Stamp;
  /** What was begun and has not come to its end: it is under way, or was interrupted. */
  readonly unfinished?: TenantChange | undefined;
}

/** What a tenant may know of itself. */
export type TenantTerms = Pick<TenantRecord, 'state' | 'quota'>;

/** Something that was done to a tenant. */
export interface TenantEvent extends TenantChange {
  readonly tenant: string;
  /** Whether it has not come to its end: all of it may have been done, or some, or nothing. */
  readonly interrupted: boolean;
}

const limits = ['keys', 'bytes'] as const;

/** @throws ArgumentError if a limit is no whole number from 0. */
export function checkQuota(quota: Quota): Quota {
  if (typeof quota !== 'object' || quota === null) {
    throw new ArgumentError('quota', 'an object with keys or bytes', quota);
  }
  const given = limits.filter((limit) => quota[limit] !== undefined);
  return Object.fromEntries(
    given.map((limit) => [limit, wholeFrom(0, `quota.${limit}`, quota[limit] as number)]),
  );
}

/** What a record was written as. */
export function recordIn(value: Uint8Array): TenantRecord {
  return fieldsIn(value) as unknown as TenantRecord;
}

/** What terms were written as; nothing where there are none. */
export function termsIn(value: Uint8Array | undefined): Partial<TenantTerms> {
  return value ? fieldsIn(value) : {};
}

/** What an entry of the audit says; `undefined` for what is none. */
export function eventIn(tenant: string, value: Uint8Array): TenantEvent | undefined {
  const { action, at, by, reason, interrupted } = fieldsIn(value);
  if (typeof action !== 'string' || typeof at !== 'number') return undefined;
  return {
    tenant,
    action: action as TenantAction,
    at,
    by: ownerOf(by),
    reason: typeof reason === 'string' ? reason : undefined,
    interrupted: interrupted === true,
  };
}
