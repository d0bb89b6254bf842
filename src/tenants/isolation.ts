import type { Session } from '../core/session/session.js';
import { type AccessControl } from '../core/store/access-control.js';
import { ConflictError } from '../core/store/errors.js';
import type { CallOptions } from '../core/store/store.js';
import type { TenantIsolation } from './tenant-record.js';

/** A member that is known not to keep users apart. */
export interface Gap {
  readonly endpoint: string;
  /** Of its etcd. */
  readonly version: string;
}

/** Whether the cluster can keep tenants apart. */
export interface IsolationStatus {
  /** Whether etcd asks everybody who they are. */
  readonly authentication: boolean;
  /**
   * Members of a release whose checks let users out: through transactions in transactions, watches to the end of all keys, or by
   * filling the disk. Those that did not answer are not among them.
   */
  readonly gaps: readonly Gap[];
}

/**
 * The first releases, by minor version, in which all known gaps are closed. Before 3.6 there is none: while the alarm for want of space is
 * raised, which a tenant can bring about, those ask nobody who deletes, or switches authentication off, whether he may.
 */
const closed: Readonly<Record<string, number>> = { '3.6': 14, '3.7': 1 };

/** Whether a release of etcd lets users do what their roles do not allow. */
function hasGaps(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map((part) => parseInt(part, 10));
  if (major > 3 || (major === 3 && minor > 7)) return false;
  // What is no number is no release that is known to be closed.
  return !(patch >= (closed[`${major}.${minor}`] ?? Infinity));
}

/** What the cluster can do to keep tenants apart. */
export async function isolationStatus(
  { store }: Session,
  options?: CallOptions,
): Promise<IsolationStatus> {
  const [authentication, members] = await Promise.all([
    store.access?.isEnabled(options) ?? false,
    store.health(options),
  ]);
  const gaps = members.flatMap(({ endpoint, status }) =>
    status && hasGaps(status.version) ? [{ endpoint, version: status.version }] : [],
  );
  return { authentication, gaps };
}

/**
 * What manages users for tenants of that kind; `undefined` where they have none.
 *
 * @throws ConflictError that says what to do, if the cluster cannot isolate them as asked.
 */
export async function accessFor(
  session: Session,
  isolation: TenantIsolation,
  options?: CallOptions,
): Promise<AccessControl | undefined> {
  if (isolation === 'prefix') return undefined;
  const { access } = session.store;
  if (!access) throw new ConflictError(`${none}: the store of this coordinator manages no users`);
  const { authentication, gaps } = await isolationStatus(session, options);
  if (!authentication) throw new ConflictError(`${none}: etcd asks nobody who they are. ${howTo}`);
  if (isolation === 'best-effort' || gaps.length === 0) return access;
  const members = gaps.map(({ endpoint, version }) => `${endpoint} (${version})`).join(', ');
  const needed = "needed are 3.6.14, 3.7.1 or later, or isolation: 'best-effort'";
  throw new ConflictError(`${none}: users get around the permissions of ${members}; ${needed}`);
}

const none = 'tenants cannot be isolated';
const howTo =
  "Switch that on (etcdctl user add root; etcdctl user grant-role root root; etcdctl auth enable) and connect as root, or have tenants with isolation: 'prefix', which keeps apart only who means well";
