import { randomUUID } from 'node:crypto';
import { fieldsIn } from '../core/line/ticket.js';
import { scan } from '../core/scan.js';
import type { Lease } from '../core/session/lease.js';
import { LeaseSlot } from '../core/session/lease-slot.js';
import type { Session } from '../core/session/session.js';
import { CompactedError, ConflictError } from '../core/store/errors.js';
import { prefixRange } from '../core/store/keys.js';
import type { CallOptions, Compare, KeyValue, Operation } from '../core/store/store.js';
import { Backoff } from '../core/time/backoff.js';
import type { Amount } from '../namespace/contents.js';
import { quotaFolder } from '../namespace/kinds.js';
import { none, plus } from './charge.js';
import { removeOwn } from './remove-own.js';
import { tenantKeys } from './tenant-keys.js';
import { type Quota, termsIn } from './tenant-record.js';

/** What a tenant has, and what of the rest is promised to whom. */
interface Book {
  /** At least what the tenant has, but for what was written since under the shares. */
  readonly used: Amount;
  /** By how much each of the processes may have what there is grow, at most, since it last said what it did. */
  readonly shares: Readonly<Record<string, Amount>>;
  /** Which count `used` goes back to; empty where nothing was counted yet. */
  readonly count: string;
}

/** The ledger as it was read: what is written next is on condition that it is still so. */
export interface Page extends Book {
  /** Whether the count that `used` goes back to has come to its end. */
  readonly isCounted: boolean;
  readonly isBeingCounted: boolean;
  readonly quota: Quota;
  readonly compare: readonly Compare[];
}

const pageSize = 200;
/** Behind the name of a count that has come to its end. */
const done = '!';

/** What is told apart from what the tenant has: what a tenant's library keeps for itself is not counted. */
const uncounted = '.etcd-recipes/';

/** The book of what a tenant has, in a place of the tenant's. Who has a share has a key there, too, which goes with its session. */
export class Ledger {
  readonly tenant: string;
  readonly #session: Session;
  readonly #prefix: string;
  readonly #terms: string;

  constructor(session: Session, tenant: string) {
    const { prefix, terms } = tenantKeys(tenant);
    this.tenant = tenant;
    this.#session = session;
    this.#prefix = prefix;
    this.#terms = terms;
  }

  /** The key that whoever has a share has. */
  keyOf(share: string): string {
    return `${this.#shares}${share}`;
  }

  /** What a pair counts for. */
  readonly sizeOf = ({ key, value }: Pick<KeyValue, 'key' | 'value'>): Amount => {
    const [from, size] = [this.#prefix.length, key.length - this.#prefix.length];
    if (key.toString('latin1', from, from + uncounted.length) === uncounted) return none;
    return { keys: 1, bytes: size + value.length };
  };

  /** Shares of those who are gone count as used up. @throws ConflictError if there is no such tenant, or it is not let in */
  async read(options?: CallOptions): Promise<Page> {
    const { replies } = await this.#session.store.commit(
      {
        success: [
          { range: { key: this.#terms } },
          { range: { key: this.#book } },
          { range: { ...prefixRange(this.#shares), keysOnly: true } },
          { range: { key: this.#counting } },
        ],
      },
      options,
    );
    const [[terms] = [], [book] = [], keys = [], counting = []] = replies.map(({ kvs }) => kvs);
    const { state, quota = {} } = termsIn(terms?.value);
    if (state !== 'active') throw new ConflictError(`tenant ${this.tenant} is not active`);
    const alive = new Set(keys.map(({ key }) => key.toString().slice(this.#shares.length)));
    const compare: Compare[] = [
      { key: this.#terms, target: 'mod', to: terms?.modRevision ?? 0n },
      { key: this.#book, target: 'mod', to: book?.modRevision ?? 0n },
    ];
    const { used, shares, count } = bookIn(book);
    const all = Object.entries(shares);
    const gone = all.filter(([id]) => !alive.has(id));
    return {
      used: gone.reduce((sum, [, share]) => plus(sum, share), used),
      shares: Object.fromEntries(all.filter(([id]) => alive.has(id))),
      count,
      isCounted: count.endsWith(done),
      isBeingCounted: counting.length > 0,
      quota,
      compare,
    };
  }

  /** Writes the book, with `steps`, if it is still as it was read: gives the revision, or `undefined`. */
  async write(
    { compare }: Page,
    { used, shares, count }: Book,
    steps: readonly Operation[],
    more: readonly Compare[] = [],
    options?: CallOptions,
  ): Promise<bigint | undefined> {
    const put = { key: this.#book, value: JSON.stringify({ used, shares, count }) };
    const { succeeded, revision } = await this.#session.store.commit(
      { compare: [...compare, ...more], success: [{ put }, ...steps] },
      { ...options, exactlyOnce: true, marksIn: this.#prefix },
    );
    return succeeded ? revision : undefined;
  }

  /**
   * Counts what there is. All shares end first, so that what is counted is what there was at one revision; those who come for
   * another meanwhile get it out of what was thought to be there.
   */
  async count(options?: CallOptions): Promise<void> {
    const id = randomUUID();
    const pause = new Backoff();
    for (let waited = false; ; ) {
      const page = await this.read(options);
      if (page.isBeingCounted) {
        // Two who count would be in each other's way.
        await this.#session.clock.sleep(pause.next(), options?.signal);
        waited = true;
      } else if ((waited && page.isCounted) || (await this.#countAll(page, id, options))) return;
    }
  }

  /** Forgets all of it: nobody writes before everything was counted. */
  async withdraw(options?: CallOptions): Promise<void> {
    const all = prefixRange(this.#folder);
    await this.#session.store.commit(
      { success: [{ delete: all }] },
      { ...options, idempotent: true },
    );
  }

  /** Gives `false` if it is to be done again. */
  #countAll(page: Page, id: string, options?: CallOptions): Promise<boolean> {
    const session = this.#session;
    return LeaseSlot.during(session, options?.signal ?? session.closing, (lease) =>
      this.#countOn(lease, page, id, options),
    );
  }

  async #countOn(lease: Lease, page: Page, id: string, options?: CallOptions): Promise<boolean> {
    const { store } = this.#session;
    const key = this.#counting;
    const used = Object.values(page.shares).reduce((sum, share) => plus(sum, share), page.used);
    const steps = [
      { delete: prefixRange(this.#shares) },
      { put: { key, value: id, lease: lease.id } },
    ];
    const isFree: Compare = { key, target: 'create', to: 0n };
    try {
      const book = { used, shares: {}, count: id };
      const revision = await this.write(page, book, steps, [isFree], options);
      if (revision === undefined) return false;
      return await this.#correct(
        id,
        plus(used, await this.#countAt(revision, options), -1),
        options,
      );
    } catch (error) {
      if (error instanceof CompactedError) return false;
      throw error;
    } finally {
      await removeOwn(store, lease, { key, value: id }).catch(() => {});
    }
  }

  /** Gives `false` if everything was forgotten meanwhile. */
  async #correct(id: string, excess: Amount, options?: CallOptions): Promise<boolean> {
    for (;;) {
      const page = await this.read(options);
      if (page.count !== id) return false;
      const book = { ...page, used: plus(page.used, excess, -1), count: `${id}${done}` };
      if ((await this.write(page, book, [], [], options)) !== undefined) return true;
    }
  }

  async #countAt(revision: bigint, options?: CallOptions): Promise<Amount> {
    let found = none;
    const range = prefixRange(this.#prefix);
    const all = scan(this.#session.store, range, { ...options, revision, pageSize });
    for await (const kv of all) found = plus(found, this.sizeOf(kv));
    return found;
  }

  get #book(): string {
    return `${this.#folder}book`;
  }

  /** Is there while somebody counts. */
  get #counting(): string {
    return `${this.#folder}counting`;
  }

  get #shares(): string {
    return `${this.#folder}shares/`;
  }

  get #folder(): string {
    return `${this.#prefix}${quotaFolder}`;
  }
}

/** Where there is none, everything may be used up: it is counted before anything is given away. */
function bookIn(kv: KeyValue | undefined): Book {
  const { used, shares, count } = (kv ? fieldsIn(kv.value) : {}) as Partial<Book>;
  const unknown = { keys: 2 ** 50, bytes: 2 ** 50 };
  return { used: used ?? unknown, shares: shares ?? {}, count: count ?? '' };
}
