import type { Grant } from '../core/line/grant.js';
import { Hold } from '../core/line/hold.js';
import { ArgumentError } from '../core/store/errors.js';
import type { Data } from '../core/store/keys.js';
import type { CallOptions, Compare, Operation, PutRequest, Store } from '../core/store/store.js';
import { abortable } from '../core/time/signals.js';

/** What a term can do depends on how its election is kept. */
export interface Office {
  /** What the key of the term has for a value. */
  encode(value: string): Data;
  /** Finds the candidate with this ID: has it lead next when what this gives is called. `undefined` if nobody with it stands. */
  nominate(id: string, options: CallOptions): Promise<(() => void) | undefined>;
}

/** A time of leading: a `Hold` of what there is one of. Its token grows from leader to leader. */
export class Term extends Hold {
  /** Aborts at its end, whether it is lost or given back. @internal */
  readonly over: AbortSignal;
  readonly #office: Office;
  readonly #lease: bigint;
  /** The revision of the last change of the value that is known here. */
  #changedAt: bigint;
  /** What was proclaimed last, whatever became of it. */
  #proclaimed: Promise<void> = Promise.resolve();

  constructor(store: Store, grant: Grant, office: Office) {
    const over = new AbortController();
    super(store, {
      ...grant,
      onLost: (hold) => {
        over.abort();
        grant.onLost(hold);
      },
      onRelease: () => {
        over.abort();
        grant.onRelease();
      },
    });
    this.over = over.signal;
    this.#office = office;
    this.#lease = grant.place.lease.id;
    this.#changedAt = this.token;
  }

  /**
   * Changes the value that others see, while this leads: one change after the other. One of which it is not known whether it
   * took effect has none any more once a later one did.
   *
   * @throws ArgumentError if it is not a string.
   * @throws HoldLostError if this does not lead any more; nothing was written.
   * @throws UnavailableError if etcd did not answer; `outcome` says whether it may have been changed.
   */
  async proclaim(value: string, options: CallOptions = {}): Promise<void> {
    const { signal } = options;
    const put = { key: this.key, value: this.#office.encode(checkText(value)), lease: this.#lease };
    const change = this.#proclaimed.then(() => this.#change(put, options));
    this.#proclaimed = change.catch(() => {});
    await (signal ? abortable(change, signal) : change);
  }

  /** Gives the term to the first of those who wait: the same as `release`, in an election's words. */
  resign(): Promise<boolean> {
    return this.release();
  }

  /**
   * Gives the term to the candidate with this ID, whoever else waits. Should that one go at the same moment, the first of the
   * others leads.
   *
   * @returns whether it did so; `false` if nobody with the ID stands, and this leads on, or has lost the term before
   * @throws ArgumentError in the layout `go`.
   * @throws UnavailableError if etcd did not answer; this leads on. Otherwise as `release`.
   */
  async transferTo(id: string, options: CallOptions = {}): Promise<boolean> {
    const leads = (): boolean => this.remaining() > 0;
    const appoint = leads() ? await this.#office.nominate(id, options) : undefined;
    if (!appoint || !leads()) return false;
    appoint();
    return this.release();
  }

  /** Writes on condition of the revision, so that what was sent before cannot come after it. */
  async #change(put: PutRequest, options: CallOptions): Promise<void> {
    const { key } = put;
    for (;;) {
      const compare: Compare[] = [{ key, target: 'mod', to: this.#changedAt }];
      const look: Operation = { range: { key, keysOnly: true } };
      const txn = { compare, success: [{ put }], failure: [look] };
      const { revision, replies } = await this.guarded({ txn }, options);
      const { succeeded = false, replies: [found] = [] } = replies[0]?.txn ?? {};
      this.#changedAt = succeeded ? revision : (found?.kvs[0]?.modRevision ?? 0n);
      if (succeeded) return;
    }
  }

  /** Ends the term because who leads is not well; the key stays until `release`. @internal */
  fail(): void {
    this.lose('unhealthy');
  }
}

/** Passes the value of a candidate. @throws ArgumentError unless it is a string. */
export function checkText(value: string): string {
  if (typeof value !== 'string') throw new ArgumentError('value', 'a string', value);
  return value;
}
