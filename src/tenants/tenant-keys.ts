import { ArgumentError } from '../core/store/errors.js';
import { keyAfter } from '../core/store/key-span.js';
import { type KeyRange, prefixRange } from '../core/store/keys.js';
import { apartFromRecipes } from '../namespace/kinds.js';

const folder = '.etcd-recipes/tenants/';
const usable = /^[a-z\d][\w.-]{0,62}$/i;

/** Where the records of all tenants are: no tenant's user may read or write there. */
export const allRecords: KeyRange = prefixRange(`${folder}records/`);
/** Where everything is written down that was done to tenants. It stays when they are deleted. */
export const allAudits: KeyRange = prefixRange(`${folder}audit/`);

/** The names that go with a tenant's. */
export interface TenantKeys {
  /** What all keys of the tenant begin with. */
  readonly prefix: string;
  /** Of its user, and of its role. */
  readonly user: string;
  /** Of the record. */
  readonly record: string;
  /** Of what the tenant's user may read of itself, but not write. */
  readonly terms: string;
  /** Of the key that whoever changes the tenant has meanwhile. */
  readonly claim: string;
  readonly audit: string;
}

/** @throws ArgumentError unless the name is one of letters, digits, `.`, `_` and `-` that begins with a letter or digit, up to 63. */
export function tenantKeys(name: string): TenantKeys {
  if (typeof name !== 'string' || !usable.test(name)) {
    const expected = 'up to 63 letters, digits, ".", "_" and "-", beginning with a letter or digit';
    throw new ArgumentError('tenant', expected, name);
  }
  return {
    prefix: apartFromRecipes(`tenants/${name}/`),
    user: `tenant-${name}`,
    record: `${folder}records/${name}`,
    terms: `${folder}terms/${name}`,
    claim: `${folder}claims/${name}`,
    audit: `${folder}audit/${name}/`,
  };
}

/** One key as a range: releases of etcd that are not up to date let a user watch much more who may read a key by itself. */
export function only(key: string): KeyRange {
  return { key, end: keyAfter(key) };
}
