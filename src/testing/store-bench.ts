import { randomUUID } from 'node:crypto';
import { type Data, type KeyRange, keyId, prefixRange, toBytes } from '../core/store/keys.js';
import { newLeaseId } from '../core/store/lease-id.js';
import type {
  Compare,
  KeyValue,
  RangeRequest,
  Store,
  TxnReply,
  Watch,
  WatchEvent,
  WatchOptions,
} from '../core/store/store.js';
import { waitFor } from './wait-for.js';

/** A test of the store suite. */
export interface StoreCase {
  readonly name: string;
  run(bench: StoreBench): Promise<void>;
}

/** What a watch told. */
export interface WatchRecording {
  readonly watch: Watch;
  /** What each call of `events` told of our keys, in order. */
  readonly batches: readonly (readonly WatchEvent[])[];
  /** Every event as text, such as `put a=1` or `delete a`. */
  readonly seen: readonly string[];
  readonly closed: readonly Error[];
}

/** A store under test, and a folder of its own for one case. Names are those of keys in that folder. */
export class StoreBench {
  readonly store: Store;
  /** All keys of the case. */
  readonly all: KeyRange;
  readonly #folder: Buffer;
  readonly #timeout: number;
  readonly #leases: bigint[] = [];
  readonly #watches: Watch[] = [];

  constructor(store: Store, prefix: string, timeout: number) {
    this.store = store;
    this.#timeout = timeout;
    this.#folder = Buffer.from(`${prefix}${randomUUID()}/`);
    this.all = prefixRange(this.#folder);
  }

  /** The key of a name. */
  key(name: Data): Buffer {
    return Buffer.concat([this.#folder, toBytes(name)]);
  }

  /** The keys from one name up to but not including another. */
  range(from: Data, end: Data): KeyRange {
    return { key: this.key(from), end: this.key(end) };
  }

  /** Writes a key, and gives the revision of that. */
  async put(name: Data, value: Data = '', lease = 0n): Promise<bigint> {
    const put = { key: this.key(name), value, lease };
    return (await this.store.commit({ success: [{ put }] })).revision;
  }

  /** Writes keys in their order, many at a time, each with its name as value; gives the first revision of that. */
  async putAll(names: readonly string[]): Promise<bigint> {
    let first: bigint | undefined;
    // etcd takes up to 128 operations in one transaction.
    for (let i = 0; i < names.length; i += 100) {
      const some = names.slice(i, i + 100);
      const success = some.map((name) => ({ put: { key: this.key(name), value: name } }));
      const { revision } = await this.store.commit({ success });
      first ??= revision;
    }
    return first ?? 0n;
  }

  /** Deletes a key, and gives the revision of that. */
  async remove(name: Data): Promise<bigint> {
    return (await this.store.commit({ success: [{ delete: { key: this.key(name) } }] })).revision;
  }

  /** What a key holds. */
  async get(name: Data): Promise<KeyValue | undefined> {
    return (await this.store.read({ key: this.key(name) })).kvs[0];
  }

  /** The names that a read of the whole folder gives, one after the other. */
  async names(options: Partial<RangeRequest> = {}): Promise<string> {
    const { kvs } = await this.store.read({ ...this.all, ...options });
    return kvs.map(({ key }) => this.#nameOf(key)).join(' ');
  }

  /** Whether comparisons hold. */
  async holds(...compare: readonly Compare[]): Promise<boolean> {
    return (await this.store.commit({ compare })).succeeded;
  }

  /** The names that a read in a transaction gave. */
  namesIn(reply: TxnReply, step: number): string {
    return (reply.replies[step]?.kvs ?? []).map(({ key }) => this.#nameOf(key)).join(' ');
  }

  /** A new lease of a minute, revoked when the case ends. */
  async lease(): Promise<bigint> {
    const lease = newLeaseId();
    await this.store.grant(lease, 60_000);
    this.#leases.push(lease);
    return lease;
  }

  /** Begins to record what a watch tells. */
  record(range: KeyRange, options?: WatchOptions): WatchRecording {
    const batches: WatchEvent[][] = [];
    const seen: string[] = [];
    const closed: Error[] = [];
    const listener = {
      events: (events: readonly WatchEvent[]): void => {
        const ours = events.filter(({ kv }) => this.#isOurs(kv.key));
        if (ours.length > 0) batches.push(ours);
        seen.push(...ours.map((event) => this.#textOf(event)));
      },
      gap: (revision: bigint): void => {
        seen.push(`gap at ${revision}`);
      },
      closed: (error: Error): void => {
        closed.push(error);
      },
    };
    const watch = this.store.watch(range, listener, options);
    this.#watches.push(watch);
    return { watch, batches, seen, closed };
  }

  /** As `record`; resolves when the watch is ready. */
  async recordNow(range: KeyRange, options?: WatchOptions): Promise<WatchRecording> {
    const recording = this.record(range, options);
    await this.until('the watch is ready', () => recording.watch.since !== undefined);
    await recording.watch.ready;
    return recording;
  }

  /** Waits for an event by its text. What comes before it has come by then, too. */
  heard(recording: WatchRecording, event: string): Promise<unknown> {
    return this.until(event, () => recording.seen.includes(event));
  }

  /** Waits for something by its name. */
  async until(what: string, condition: () => boolean): Promise<void> {
    try {
      await waitFor(condition, { timeout: this.#timeout });
    } catch (cause) {
      throw new Error(`waited in vain: ${what}`, { cause });
    }
  }

  /** Removes what the case left, and closes the store. */
  async close(): Promise<void> {
    for (const watch of this.#watches) watch.close();
    const cleanUps = [
      this.store.commit({ success: [{ delete: this.all }] }),
      ...this.#leases.map((lease) => this.store.revoke(lease)),
    ];
    // A store that is closed, or broken, must not hide why its case failed.
    await Promise.allSettled(cleanUps);
    this.store.close();
  }

  #textOf({ type, kv }: WatchEvent): string {
    const name = this.#nameOf(kv.key);
    return type === 'put' ? `put ${name}=${kv.value.toString()}` : `delete ${name}`;
  }

  #nameOf(key: Buffer): string {
    return key.subarray(this.#folder.length).toString();
  }

  #isOurs(key: Buffer): boolean {
    return keyId(key).startsWith(keyId(this.#folder));
  }
}
