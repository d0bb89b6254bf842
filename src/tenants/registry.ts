import { randomUUID } from 'node:crypto';
import { fieldsIn, ownerOf } from '../core/line/ticket.js';
import { scan } from '../core/scan.js';
import type { Lease } from '../core/session/lease.js';
import { LeaseSlot } from '../core/session/lease-slot.js';
import type { Session } from '../core/session/session.js';
import { ConflictError } from '../core/store/errors.js';
import { prefixRange } from '../core/store/keys.js';
import type { CallOptions, Compare, KeyValue, Operation, Store } from '../core/store/store.js';
import { checkedController, onEnd } from '../core/time/signals.js';
import { ClaimedStore } from './claimed-store.js';
import { removeOwn } from './remove-own.js';
import { allAudits, allRecords, tenantKeys } from './tenant-keys.js';
import {
  eventIn,
  recordIn,
  type Stamp,
  type TenantAction,
  type TenantChange,
  type TenantEvent,
  type TenantRecord,
} from './tenant-record.js';

/** Something that is to be done to a tenant. */
export interface Change<T> {
  readonly action: TenantAction;
  readonly reason?: string | undefined;
  /** What the record says while it is being done. @throws ConflictError if it cannot be done */
  begin(record: TenantRecord | undefined, stamp: Stamp): TenantRecord;
  /**
   * Does it.
   *
   * @param store - writes for as long as nobody else changes the tenant
   * @param options - for all calls: their signal aborts when that is over, too
   */
  work(record: TenantRecord, store: Store, options: CallOptions): Promise<T>;
  /** What the record says then; `undefined` if there is to be none. */
  end(record: TenantRecord): TenantRecord | undefined;
}

/** The claims of this process under which something is being done. */
const underWay = new Set<unknown>();

/** The records of tenants, which one at a time may change. */
export class Registry {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async read(name: string, options?: CallOptions): Promise<TenantRecord | undefined> {
    const { kvs } = await this.#session.store.read({ key: tenantKeys(name).record }, options);
    return kvs[0] && recordIn(kvs[0].value);
  }

  /** All of them, by name. */
  async *list(options?: CallOptions): AsyncGenerator<readonly [string, TenantRecord], void, void> {
    for await (const { key, value } of scan(this.#session.store, allRecords, options)) {
      yield [lastOf(key), recordIn(value)];
    }
  }

  /** What was done, to one or to all, tenant by tenant, the oldest first. */
  async audit(name?: string, options?: CallOptions): Promise<TenantEvent[]> {
    const range = name === undefined ? allAudits : prefixRange(tenantKeys(name).audit);
    const events: TenantEvent[] = [];
    for await (const { key, value } of scan(this.#session.store, range, options)) {
      const event = eventIn(key.toString().split('/').at(-2) ?? '', value);
      if (event) events.push(event);
    }
    return events;
  }

  /**
   * Makes a change while nobody else changes that tenant. What it comes to is written only if that is so to the end; if it
   * fails, the record says that it is unfinished.
   */
  change<T>(name: string, change: Change<T>, options: CallOptions = {}): Promise<T> {
    const session = this.#session;
    return LeaseSlot.during(session, options.signal ?? session.closing, (lease) =>
      this.#change(lease, name, change, options),
    );
  }

  async #change<T>(
    lease: Lease,
    name: string,
    change: Change<T>,
    options: CallOptions,
  ): Promise<T> {
    const { store, owner, clock, signal: life } = this.#session;
    const { claim, record } = tenantKeys(name);
    const id = randomUUID();
    const value = JSON.stringify({ ...owner, id });
    const ours: Compare = { key: claim, target: 'value', to: value };
    const read = [{ range: { key: record } }, { range: { key: claim } }];
    // Who lost the session leaves it at what was sent.
    const alive = checkedController(() => life.aborted);
    const release = onEnd((reason) => alive.abort(reason), signalOf(options), life, clock);
    underWay.add(id);
    try {
      const { succeeded, replies } = await store.commit(
        {
          compare: [{ key: claim, target: 'create', to: 0n }],
          success: [...read, { put: { key: claim, value, lease: lease.id } }],
          failure: read,
        },
        { ...options, exactlyOnce: true },
      );
      const [found, rival] = replies.map(({ kvs }) => kvs[0]);
      if (!succeeded) {
        if (rival?.lease !== lease.id || isUnderWay(rival)) {
          throw new ConflictError(busy(name, rival));
        }
        await removeOwn(store, lease, { key: claim, value: rival.value });
        return await this.#change(lease, name, change, options);
      }
      const before = found && recordIn(found.value);
      return await this.#make(name, change, before, ours, { ...options, signal: alive.signal });
    } finally {
      release();
      underWay.delete(id);
      await removeOwn(store, lease, { key: claim, value }).catch(() => {});
    }
  }

  async #make<T>(
    name: string,
    change: Change<T>,
    before: TenantRecord | undefined,
    ours: Compare,
    options: CallOptions,
  ): Promise<T> {
    const { owner, clock, store } = this.#session;
    const { audit } = tenantKeys(name);
    const { action, reason } = change;
    const stamp = { at: clock.wall(), by: owner };
    const begun = change.begin(before, stamp);
    const left = before?.unfinished;
    // The record forgets it now.
    const interrupted = left ? [entry(audit, { ...left, interrupted: true })] : [];
    await this.#write(name, ours, begun, interrupted, options);
    const result = await change.work(begun, new ClaimedStore(store, ours), options);
    const done = entry(audit, { ...stamp, action, reason });
    await this.#write(name, ours, change.end(begun), [done], options);
    return result;
  }

  async #write(
    name: string,
    ours: Compare,
    record: TenantRecord | undefined,
    more: readonly Operation[],
    options: CallOptions,
  ): Promise<void> {
    const keys = tenantKeys(name);
    const { state, quota } = record ?? {};
    const success = [
      record ? put(keys.record, record) : { delete: { key: keys.record } },
      record ? put(keys.terms, { state, quota }) : { delete: { key: keys.terms } },
      ...more,
    ];
    const store = new ClaimedStore(this.#session.store, ours);
    await store.commit({ success }, { ...options, exactlyOnce: true });
  }
}

function put(key: string, value: object): Operation {
  return { put: { key, value: JSON.stringify(value) } };
}

/** A line of the audit. Names are in the order in which things were begun. */
function entry(folder: string, event: TenantChange & { readonly interrupted?: true }): Operation {
  return put(`${folder}${String(event.at).padStart(16, '0')}-${randomUUID()}`, event);
}

/** Whether something is being done under a claim of ours: one that could not be given back is in nobody's way. */
function isUnderWay({ value }: KeyValue): boolean {
  return underWay.has(fieldsIn(value)['id']);
}

function busy(name: string, rival: KeyValue | undefined): string {
  const who = rival && ownerOf(fieldsIn(rival.value));
  const by = who ? `${who.label ?? 'a process'} (${who.host}, ${who.pid})` : 'somebody else';
  return `tenant ${name} is being changed by ${by}; if that process died, in a moment no more`;
}

/** Its time is that of each call, not of all. */
function signalOf({ signal }: CallOptions): CallOptions {
  return signal ? { signal } : {};
}

function lastOf(key: Buffer): string {
  return key.toString().split('/').at(-1) ?? '';
}
