import type { Session } from '../core/session/session.js';
import type { AccessControl } from '../core/store/access-control.js';
import { ArgumentError, ConflictError } from '../core/store/errors.js';
import type { CallOptions, Store } from '../core/store/store.js';
import { type Amount, Contents } from '../namespace/contents.js';
import { Namespace } from '../namespace/namespace.js';
import { admit, letIn, nameInUse, newPassword } from './admission.js';
import { none, plus } from './charge.js';
import { accessFor, type IsolationStatus, isolationStatus } from './isolation.js';
import { Ledger } from './ledger.js';
import { QuotaStore } from './quota-store.js';
import { type Change, Registry } from './registry.js';
import { tenantKeys } from './tenant-keys.js';
import {
  checkQuota,
  type Quota,
  type TenantAction,
  type TenantEvent,
  type TenantIsolation,
  type TenantRecord,
  termsIn,
} from './tenant-record.js';

/** Options of whatever changes a tenant. */
export interface TenantChangeOptions extends CallOptions {
  /** Why, for the record. @defaultValue nothing is said */
  readonly reason?: string;
}

/** How to create a tenant. */
export interface CreateTenantOptions extends TenantChangeOptions {
  /** How much it may have. @defaultValue no limits */
  readonly quota?: Quota;
  /** How it is kept apart. @defaultValue `'server'` */
  readonly isolation?: TenantIsolation;
}

/** How a tenant gets in. The password is kept nowhere: it is told once. */
export interface TenantCredentials {
  /** What all keys of the tenant begin with. */
  readonly prefix: string;
  /** For the option `auth` of `connect`; `undefined` for a tenant without a user. */
  readonly auth: { readonly user: string; readonly password: string } | undefined;
}

/** A tenant, as its record has it. */
export interface TenantInfo extends TenantRecord {
  readonly name: string;
  /** What all its keys begin with. */
  readonly prefix: string;
  /** The user that etcd knows it by; `undefined` if it has none. */
  readonly user: string | undefined;
}

/** Those who share one etcd, each in a prefix that etcd itself lets nobody of them leave. */
export class Tenants {
  readonly #session: Session;
  readonly #registry: Registry;
  /** By name: all who open a tenant here write under one share. */
  readonly #limited = new Map<string, QuotaStore>();

  /** @throws ArgumentError if the session is that of a namespace: users are of all of etcd. */
  constructor(session: Session) {
    if (Namespace.isPart(session.store)) {
      throw new ArgumentError('tenants', 'used outside of namespaces', 'a namespace');
    }
    this.#session = session;
    this.#registry = new Registry(session);
  }

  /**
   * Gives a tenant a prefix, and a user who can do nothing outside of it. What is there already below the prefix is the tenant's then. After an
   * error or a crash, call it again: until it has come to its end, the tenant has no user.
   *
   * @throws ArgumentError if the name or an option is not usable.
   * @throws ConflictError if there is such a tenant or user, somebody else changes it, or etcd cannot isolate it as asked.
   * @throws UnavailableError if no endpoint answers; call it again.
   * @throws RefusedError if we are not root.
   */
  async create(name: string, options: CreateTenantOptions = {}): Promise<TenantCredentials> {
    const { quota = {}, isolation = 'server' } = options;
    const keys = tenantKeys(name);
    const checked = checkQuota(quota);
    if (!['server', 'best-effort', 'prefix'].includes(isolation)) {
      throw new ArgumentError('isolation', "'server', 'best-effort' or 'prefix'", isolation);
    }
    const access = await accessFor(this.#session, isolation, options);
    const inUse = access && (await nameInUse(access, keys, options));
    // One of somebody else is not to be taken over; one of ours has a record.
    if (inUse && !(await this.#registry.read(name, options))) {
      throw new ConflictError(
        `etcd has a ${inUse} ${keys.user} that is of no tenant: delete it first`,
      );
    }
    return this.#change(name, 'create', options, {
      begin: (record, created) => {
        if (record && record.state !== 'creating') {
          throw new ConflictError(
            `tenant ${name} ${record.state === 'deleting' ? 'is being deleted' : 'exists already'}`,
          );
        }
        // What the first attempt left is to be found again.
        if (record && record.isolation !== isolation) {
          const begun = `tenant ${name} was begun with isolation: '${record.isolation}'`;
          throw new ConflictError(`${begun}: create it so, or delete it first`);
        }
        return { state: 'creating', isolation, quota: checked, created };
      },
      work: async (_record, _store, limits) => ({
        prefix: keys.prefix,
        auth: access && (await admit(access, keys, limits)),
      }),
      end: (record) => ({ ...record, state: 'active' }),
    });
  }

  /**
   * Gives a tenant a new password: the one before, and all who logged in with it, are refused from then on. What somebody
   * took from its user or role by hand is given back; what he gave them they keep.
   *
   * @throws ConflictError if there is no such tenant, it has no user, or somebody else changes it.
   */
  rotate(name: string, options: TenantChangeOptions = {}): Promise<TenantCredentials> {
    const keys = tenantKeys(name);
    const { user, prefix } = keys;
    return this.#change(name, 'rotate', options, {
      begin: (record) => existing(name, record),
      work: async (record, _store, limits) => {
        const access = this.#accessOf(record);
        if (!access) throw new ConflictError(`tenant ${name} has no user, and no password`);
        const password = newPassword();
        if (record.state === 'active') await letIn(access, keys, limits, password);
        else await access.addUser(user, password, limits);
        return { prefix, auth: { user, password } };
      },
      end: (record) => record,
    });
  }

  /**
   * Keeps a tenant out: its user may read and write nothing from then on, whoever is logged in, unless somebody gave him another
   * role by hand. Its data stays, and its password is the same when it is let in again.
   *
   * @throws ConflictError if there is no such tenant, or somebody else changes it.
   */
  suspend(name: string, options: TenantChangeOptions = {}): Promise<void> {
    const { user } = tenantKeys(name);
    return this.#change(name, 'suspend', options, {
      begin: (record) => ({ ...existing(name, record), state: 'suspended' }),
      work: async (record, store, limits) => {
        // Without a role nothing that comes late, of who let him in before, is of any effect.
        await this.#accessOf(record)?.deleteRole(user, limits);
        await this.#ledger(name, store).withdraw(limits);
      },
      end: (record) => record,
    });
  }

  /**
   * Lets a suspended tenant in again.
   *
   * @throws ConflictError if there is no such tenant, or somebody else changes it.
   */
  resume(name: string, options: TenantChangeOptions = {}): Promise<void> {
    const keys = tenantKeys(name);
    return this.#change(name, 'resume', options, {
      begin: (record) => existing(name, record),
      work: async (record, _store, limits) => {
        const access = this.#accessOf(record);
        if (access) await letIn(access, keys, limits);
      },
      end: (record) => ({ ...record, state: 'active' }),
    });
  }

  /**
   * Gives a tenant another quota, at once. Where it has more than that, it can write only what leaves it with less. `{}` is none.
   *
   * @throws ArgumentError if a limit is no whole number from 0.
   * @throws ConflictError if there is no such tenant, or somebody else changes it.
   */
  async setQuota(name: string, quota: Quota, options: TenantChangeOptions = {}): Promise<void> {
    const checked = checkQuota(quota);
    return this.#change(name, 'quota', options, {
      begin: (record) => ({ ...existing(name, record), quota: checked }),
      work: (_record, store, limits) => this.#ledger(name, store).withdraw(limits),
      end: (record) => record,
    });
  }

  /**
   * How many keys and bytes a tenant has: counted by reading all of them. What the library keeps for itself is not counted.
   *
   * @throws UnavailableError if no endpoint answers.
   */
  async usage(name: string, options?: CallOptions): Promise<Amount> {
    const { keys, bytes, kinds } = await this.#contents(tenantKeys(name).prefix).usage(options);
    return plus({ keys, bytes }, kinds['.etcd-recipes'] ?? none, -1);
  }

  /**
   * Counts what a tenant has, and goes by that from then on. Who writes does so anyway where room gets tight; by hand it is for
   * after writes that went around the quota.
   *
   * @throws ConflictError if there is no such tenant, or it is not active.
   */
  async reconcile(name: string, options?: CallOptions): Promise<Amount> {
    await this.#ledger(name).count(options);
    return this.usage(name, options);
  }

  /**
   * The store of a tenant: below its prefix, within its quota. For its user, and for root. A quota set for the first time
   * counts for stores opened after that.
   *
   * @throws ConflictError if there is no such tenant, or it is not active.
   * @throws RefusedError if we are another tenant.
   */
  async open(name: string, options?: CallOptions): Promise<Store> {
    const { prefix, terms } = tenantKeys(name);
    const { store } = this.#session;
    const [kv] = (await store.read({ key: terms }, options)).kvs;
    const { state, quota = {} } = termsIn(kv?.value);
    if (state !== 'active') throw new ConflictError(`tenant ${name} is ${state ?? 'not there'}`);
    const isLimited = Object.keys(quota).length > 0;
    return new Namespace(isLimited ? this.#limitedStore(name) : store, prefix);
  }

  /**
   * Deletes a tenant: its user and role first, then all its keys, 1,000 at a time, then its record; gives how many keys that
   * were. After an error or a crash, call it again.
   *
   * @throws ConflictError if there is no such tenant, or somebody else changes it.
   */
  delete(name: string, options: TenantChangeOptions = {}): Promise<number> {
    const { user, prefix } = tenantKeys(name);
    return this.#change(name, 'delete', options, {
      begin: (record) => {
        if (!record) throw new ConflictError(`there is no tenant ${name}`);
        return { ...record, state: 'deleting' };
      },
      work: async (record, store, limits) => {
        const access = this.#accessOf(record);
        await access?.deleteUser(user, limits);
        await access?.deleteRole(user, limits);
        // Otherwise who writes as root would go on under his share, where all is gone already.
        await this.#ledger(name, store).withdraw(limits);
        return this.#contents(prefix, store).clear(limits);
      },
      end: () => undefined,
    });
  }

  /** A tenant, if there is one of that name. @throws UnavailableError if no endpoint answers. */
  async get(name: string, options?: CallOptions): Promise<TenantInfo | undefined> {
    const record = await this.#registry.read(name, options);
    return record && infoOf(name, record);
  }

  /** All tenants, by name. @throws UnavailableError if no endpoint answers. */
  async *list(options?: CallOptions): AsyncGenerator<TenantInfo, void, void> {
    for await (const [name, record] of this.#registry.list(options)) yield infoOf(name, record);
  }

  /**
   * What was done to a tenant, or to all, also those that were deleted since; tenant by tenant, the oldest first. What was
   * interrupted is there, too, once something else was begun; until then it is what `get` calls `unfinished`.
   *
   * @throws UnavailableError if no endpoint answers.
   */
  audit(name?: string, options?: CallOptions): Promise<TenantEvent[]> {
    return this.#registry.audit(name, options);
  }

  /** Whether this etcd can isolate tenants, and what is missing. @throws UnavailableError if no endpoint answers. */
  status(options?: CallOptions): Promise<IsolationStatus> {
    return isolationStatus(this.#session, options);
  }

  #limitedStore(name: string): QuotaStore {
    const { store } = this.#session;
    const limited =
      this.#limited.get(name) ?? new QuotaStore(store, this.#session, this.#ledger(name));
    this.#limited.set(name, limited);
    return limited;
  }

  #ledger(name: string, store: Store = this.#session.store): Ledger {
    return new Ledger(this.#session.over(store), name);
  }

  #contents(prefix: string, store: Store = this.#session.store): Contents {
    return new Contents(new Namespace(store, prefix), 128);
  }

  /** What manages the user of a tenant that has one. Whether etcd asks for it was of interest when it was made. */
  #accessOf({ isolation }: TenantRecord): AccessControl | undefined {
    return isolation === 'prefix' ? undefined : this.#session.store.access;
  }

  #change<T>(
    name: string,
    action: TenantAction,
    { reason, ...options }: TenantChangeOptions,
    change: Pick<Change<T>, 'begin' | 'work' | 'end'>,
  ): Promise<T> {
    if (reason !== undefined && typeof reason !== 'string') {
      throw new ArgumentError('reason', 'a string', reason);
    }
    const begin: Change<T>['begin'] = (record, stamp) => {
      checkUnfinished(name, action, record);
      return { ...change.begin(record, stamp), unfinished: { ...stamp, action, reason } };
    };
    const end: Change<T>['end'] = (record) => {
      const { unfinished: _, ...rest } = change.end(record) ?? {};
      return 'state' in rest ? rest : undefined;
    };
    return this.#registry.change(name, { action, reason, ...change, begin, end }, options);
  }
}

function infoOf(name: string, record: TenantRecord): TenantInfo {
  const { prefix, user } = tenantKeys(name);
  return { name, prefix, user: record.isolation === 'prefix' ? undefined : user, ...record };
}

/** A tenant that is whole. */
function existing(name: string, record: TenantRecord | undefined): TenantRecord {
  if (record?.state === 'active' || record?.state === 'suspended') return record;
  const is = record
    ? `is ${record.state}: ${record.state === 'creating' ? 'create' : 'delete'} it again`
    : '';
  throw new ConflictError(record ? `tenant ${name} ${is}` : `there is no tenant ${name}`);
}

/** What was interrupted is to be done again, or followed by what cuts the tenant off: nothing else knows what is left to do. */
function checkUnfinished(
  name: string,
  action: TenantAction,
  record: TenantRecord | undefined,
): void {
  const before = record?.unfinished?.action;
  if (!before || before === action || action === 'delete' || record.state === 'deleting') return;
  if (action === 'suspend' && record.state !== 'creating') return;
  throw new ConflictError(
    `tenant ${name}: ${before} was begun and interrupted; do that again first`,
  );
}
