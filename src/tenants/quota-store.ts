import { randomUUID } from 'node:crypto';
import { Mutex } from 'async-mutex';
import { writes } from '../core/commit/footprint.js';
import { LeaseSlot } from '../core/session/lease-slot.js';
import type { Session } from '../core/session/session.js';
import { UnavailableError, WaitTimeoutError } from '../core/store/errors.js';
import { ForwardingStore } from '../core/store/forwarding-store.js';
import { keyId } from '../core/store/keys.js';
import { hasTooManyOperations, wasRefused, withoutEffect } from '../core/store/refusals.js';
import type {
  CommitOptions,
  Compare,
  Operation,
  Store,
  Txn,
  TxnReply,
} from '../core/store/store.js';
import { abortable, waitScope } from '../core/time/signals.js';
import type { Amount } from '../namespace/contents.js';
import {
  asAsked,
  changeOf,
  chargeOf,
  covers,
  keysPut,
  none,
  plus,
  withPrevious,
} from './charge.js';
import type { Ledger, Page } from './ledger.js';
import { QuotaError } from './quota-error.js';
import { moreThan, Share } from './share.js';

/** Milliseconds before a tenant that was found full is counted again. */
const untilCounted = 1_000;
/** What has no limit has this one. */
const boundless = 2 ** 52;
const never = new AbortController().signal;

/** What a write needs, as far as this holds. */
interface Under {
  readonly charge: Amount;
  readonly compare: readonly Compare[];
}

/**
 * A store in which a tenant cannot have more than its quota. Each process takes a share of what is left, and writes within it: a
 * write is one transaction as ever, on condition that the share's key is there. So nobody waits for others, and whatever a process
 * does that died or stood still, no more can be written than was given away. Shares are in a ledger (see `Ledger`); what was
 * given to those who are gone, or may have been written, or has expired, is found out by counting, when the room gets tight.
 */
export class QuotaStore extends ForwardingStore {
  readonly #session: Session;
  readonly #ledger: Ledger;
  readonly #settling = new Mutex();
  /** Of the key of the share. */
  readonly #slot: LeaseSlot;
  #share: Share | undefined;
  #countedAt = Number.NEGATIVE_INFINITY;

  constructor(store: Store, session: Session, ledger: Ledger) {
    super(store);
    this.#session = session;
    this.#ledger = ledger;
    this.#slot = new LeaseSlot(session, () => {});
  }

  /**
   * Runs a transaction.
   *
   * @throws QuotaError if the tenant may not have as much as it may write; nothing was applied.
   * @throws ConflictError if the tenant is suspended, or gone.
   */
  override async commit(txn: Txn, options: CommitOptions = {}): Promise<TxnReply> {
    if (!writes(txn)) return this.store.commit(txn, options);
    const { sizeOf } = this.#ledger;
    for (;;) {
      const most = chargeOf(txn, sizeOf);
      const under: Under = { charge: most, compare: [] };
      try {
        const reply = await this.#commitUnder(under, txn, options);
        if (reply) return reply;
      } catch (error) {
        if (!(error instanceof QuotaError)) throw error;
        const reply = await this.#commitExactly(txn, most, options, error);
        if (reply) return reply;
      }
    }
  }

  /** Does nothing: the store belongs to whoever opened it. */
  override close(): void {}

  /** It may need less than it looks like, as it replaces what there is. Where that cannot be known, it is `refused`. */
  async #commitExactly(
    txn: Txn,
    most: Amount,
    options: CommitOptions,
    refused: QuotaError,
  ): Promise<TxnReply | undefined> {
    try {
      const exact = await this.#lookAt(txn, options);
      if (covers(exact.charge, most)) throw refused;
      return await this.#commitUnder(exact, txn, options);
    } catch (error) {
      throw hasTooManyOperations(error) ? refused : error;
    }
  }

  /** What a transaction needs, if nothing of what it replaces changes. */
  async #lookAt(txn: Txn, { signal }: CommitOptions): Promise<Under> {
    const keys = keysPut(txn);
    const success = keys.map((key) => ({ range: { key } }));
    const { replies } = await this.store.commit({ success }, signal && { signal });
    const found = replies.map(({ kvs }) => kvs[0]);
    const before = new Map(
      found.flatMap((kv) => (kv ? [[keyId(kv.key), this.#ledger.sizeOf(kv)] as const] : [])),
    );
    return {
      charge: chargeOf(txn, this.#ledger.sizeOf, before),
      compare: keys.map((key, i) => ({ key, target: 'mod', to: found[i]?.modRevision ?? 0n })),
    };
  }

  /** Gives `undefined` if the share was withdrawn, or what is compared has changed: nothing was applied. */
  async #commitUnder(
    { charge, compare }: Under,
    txn: Txn,
    options: CommitOptions,
  ): Promise<TxnReply | undefined> {
    const share = await this.#take(charge, options);
    const key = this.#ledger.keyOf(share.id);
    const told = withPrevious(txn);
    const isPlain = !txn.compare?.length;
    const guarded: Txn = {
      compare: [{ key, target: 'create', to: share.revision }, ...compare],
      success: isPlain ? (told.success ?? []) : [{ txn: told }],
      failure: [{ range: { key } }],
    };
    try {
      const { succeeded, revision, replies } = await this.store.commit(guarded, options);
      if (!succeeded) {
        share.isOver ||= replies[0]?.kvs[0]?.createRevision !== share.revision;
        share.settle(charge, none);
        return undefined;
      }
      const reply = isPlain ? { succeeded, replies } : (replies[0]?.txn as TxnReply);
      share.settle(charge, changeOf(txn, reply, this.#ledger.sizeOf));
      return asAsked(txn, reply, revision);
    } catch (error) {
      share.settle(charge, isWithoutEffect(error) ? none : charge);
      throw error;
    }
  }

  /** A share of which this much was taken. @throws UnavailableError if that takes too long: nothing was sent */
  async #take(charge: Amount, options: CommitOptions): Promise<Share> {
    const share = this.#share;
    if (share?.take(charge)) return share;
    const scope = waitScope(options, never, this.#session.clock);
    const { signal } = scope;
    const taken = this.#settling.runExclusive(async () => {
      // Whoever was before may have got enough for us, too.
      for (;;) {
        signal.throwIfAborted();
        const renewed = this.#share;
        if (renewed?.take(charge)) return renewed;
        // For all who wait: it goes on where one of them does not, or a long count would never come to its end.
        await this.#renew(charge);
      }
    });
    try {
      return await abortable(taken, signal);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw error instanceof WaitTimeoutError ? this.#late(error) : error;
    } finally {
      scope.dispose();
    }
  }

  #late(cause: WaitTimeoutError): UnavailableError {
    const { tenant } = this.#ledger;
    const message = 'what the tenant has was being counted, or asked for';
    const failure = { endpoint: `tenant ${tenant}`, status: 'DEADLINE_EXCEEDED', message };
    return new UnavailableError('not-applied', [failure], { cause });
  }

  /** Has the ledger give us more, if nobody was quicker. */
  async #renew(need: Amount): Promise<void> {
    const last = this.#share;
    if (last) last.isPaused = true;
    try {
      await this.#ask(await this.#ledger.read(), need);
    } catch (error) {
      // It may not be known what the ledger has of us.
      if (last && !(error instanceof QuotaError)) last.isOver = true;
      if (!(error instanceof UnavailableError)) throw error;
      // What is to be written was not sent.
      throw new UnavailableError('not-applied', error.failures, { cause: error });
    } finally {
      if (last) last.isPaused = false;
      if (!this.#share) this.#slot.giveBack();
    }
  }

  async #ask(page: Page, need: Amount): Promise<void> {
    const last = this.#share;
    const { [last?.id ?? '']: known, ...others } = page.shares;
    const share = known && !last?.isOver ? last : undefined;
    const report = share?.report ?? { done: none, onTheirWay: none };
    // What a share that is over came to is not known: at most all of it.
    const used = plus(page.used, share ? report.done : (known ?? none));
    const taken = [...Object.values(others), report.onTheirWay].reduce((a, b) => plus(a, b), used);
    const room = plus(limitOf(page), taken, -1);
    // What takes no room, such as a deletion, is let through also where there is less than none.
    if (!covers(room, need) && !covers(none, need)) {
      await this.#countUnlessJustDone(page, taken);
      return;
    }
    const left = plus(need, moreThan(need, room));
    const id = share?.id ?? randomUUID();
    const key = this.#ledger.keyOf(id);
    const steps: Operation[] = [];
    if (!share) {
      const lease = await this.#slot.take(this.#session.closing);
      steps.push({ put: { key, value: '', lease: lease.id } });
      if (last && known) steps.push({ delete: { key: this.#ledger.keyOf(last.id) } });
    }
    const isThere = { key, target: 'create', to: share?.revision ?? 0n } as const;
    const { count } = page;
    const book = { used, shares: { ...others, [id]: plus(left, report.onTheirWay) }, count };
    const revision = await this.#ledger.write(page, book, steps, [isThere]);
    if (revision === undefined) return;
    if (share) share.renew(report, left);
    else this.#share = new Share(id, revision, left);
  }

  async #countUnlessJustDone(page: Page, usage: Amount): Promise<void> {
    const { clock } = this.#session;
    if (page.isCounted && clock.now() - this.#countedAt < untilCounted) {
      throw withoutEffect(new QuotaError(this.#ledger.tenant, page.quota, usage));
    }
    const began = clock.now();
    await this.#ledger.count();
    // What takes long to count is counted less often.
    this.#countedAt = clock.now() + 9 * (clock.now() - began);
  }
}

function limitOf({ quota: { keys = boundless, bytes = boundless } }: Page): Amount {
  return { keys, bytes };
}

function isWithoutEffect(error: unknown): boolean {
  return error instanceof UnavailableError ? error.outcome === 'not-applied' : wasRefused(error);
}
