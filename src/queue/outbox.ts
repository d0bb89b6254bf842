import { randomBytes } from 'node:crypto';
import { PartialReply } from '../core/commit/partial-reply.js';
import { UnavailableError } from '../core/store/errors.js';
import { wasRefused } from '../core/store/refusals.js';
import type { CallOptions, Operation, OperationReply, Store } from '../core/store/store.js';
import type { Clock } from '../core/time/clock.js';
import { Pending } from '../core/time/pending.js';
import { ending, milliseconds } from '../core/validate.js';
import { WeakValues } from '../core/weak-values.js';
import { idOf, type Named as Name, type QueueKeys } from './queue-keys.js';

/** What a put came to. */
export interface Sent {
  /** The name of the job. */
  readonly id: string;
  /** `undefined` where etcd has forgotten what nobody needs. */
  readonly reply: OperationReply | undefined;
  /** At which it took effect. */
  readonly revision: bigint;
}

/** What is to be put. */
export interface Parcel extends Name {
  /** About so many. */
  readonly bytes: number;
  /** Two of one marker do not travel together; and what becomes of such a put only its reply tells. */
  readonly marker?: string | undefined;
  /** Gets what `put` needs. */
  readonly prepare?: ((options: CallOptions) => Promise<void>) | undefined;
  /** What `prepare` got is gone, as etcd says by this error: it is to be prepared again. Says whether that is so. */
  readonly unprepare?: ((error: unknown) => boolean) | undefined;
  /** Is told when it is not on its way any more, though its caller may have given up long before: of its reply, where that is known. */
  readonly over?: (reply?: OperationReply) => void;
  /** Puts the job under its name. */
  readonly put: (id: string) => Operation;
}

/** The newest revision that was seen, of whatever queue, and when. */
interface Newest {
  revision: bigint;
  at: number;
}

/** A put with its caller. */
interface Draft {
  readonly parcel: Parcel;
  readonly pending: Pending<Sent>;
}

/** The same with its name. */
interface Named extends Draft {
  readonly id: string;
  readonly operation: Operation;
}

/** Milliseconds, where the caller sets no limit. */
const patience = 5_000;
/** At most so many travel together, with room for others in etcd's 128. */
const together = 100;
/** And so many bytes, about. */
const bytesTogether = 1_000_000;
/** A hint is no older than so many milliseconds. */
const freshness = 10_000;

/**
 * Jobs of this process on their way into one queue. They are put in the order of the calls, those that wait at one moment
 * together, and are named after the newest revision that is known here: nobody's clock counts, and no
 * two processes are ever in each other's way.
 */
export class Outbox {
  static readonly #all = new WeakMap<Store, WeakValues<string, Outbox>>();
  static readonly #newest = new WeakMap<Store, Newest>();
  readonly #store: Store;
  readonly #keys: QueueKeys;
  readonly #clock: Clock;
  readonly #producer = randomBytes(8).toString('hex');
  #number = 0;
  readonly #seen: Newest;
  #drafts: Draft[] = [];
  #isBusy = false;

  private constructor(store: Store, keys: QueueKeys, clock: Clock) {
    this.#store = store;
    this.#keys = keys;
    this.#clock = clock;
    this.#seen = Outbox.#newest.get(store) ?? { revision: 0n, at: Number.NEGATIVE_INFINITY };
    Outbox.#newest.set(store, this.#seen);
  }

  /** The one shared by all in this process who see the same store. */
  static at(store: Store, keys: QueueKeys, clock: Clock): Outbox {
    const all = Outbox.#all.get(store) ?? new WeakValues<string, Outbox>();
    Outbox.#all.set(store, all);
    return all.at(keys.folder, () => new Outbox(store, keys, clock));
  }

  /** A name for another job, after all that were given here, and after all that were put before anything that was seen here. */
  newId(name: Name): string {
    this.#number += 1;
    return idOf(name, this.#seen.revision, this.#number, this.#producer);
  }

  /** A revision that is there. */
  saw(revision: bigint): void {
    if (revision < this.#seen.revision) return;
    this.#seen.revision = revision;
    this.#seen.at = this.#clock.now();
  }

  /**
   * Does it once, after all that was sent before.
   *
   * @throws UnavailableError if etcd did not answer in time; `outcome` says whether it may have been done.
   * @throws RefusedError, or the reason of `options.signal`; then it may still be done.
   */
  send(parcel: Parcel, { signal, timeout = patience }: CallOptions): Promise<Sent> {
    ending(signal)?.throwIfAborted();
    const limit = milliseconds('timeout', timeout);
    const pending = new Pending<Sent>(signal ? { signal } : {}, limit, this.#clock);
    this.#drafts.push({ parcel, pending });
    if (!this.#isBusy) void this.#work();
    return pending.reply;
  }

  async #work(): Promise<void> {
    this.#isBusy = true;
    // Who comes in the same turn of the event loop comes along.
    await Promise.resolve();
    for (let drafts = this.#take(); drafts.length > 0; drafts = this.#take()) {
      await this.#post(drafts);
    }
    this.#isBusy = false;
  }

  async #post(drafts: readonly Draft[]): Promise<void> {
    try {
      if (this.#clock.now() - this.#seen.at >= freshness) await this.#look(drafts);
    } catch (error) {
      for (const draft of drafts) reject(draft, notSent(error));
      return;
    }
    const toPrepare = drafts.filter(({ parcel }) => parcel.prepare);
    if (toPrepare.length > 0) await Promise.all(toPrepare.map(prepare));
    const named = waitingOf(drafts).map(({ parcel, pending }): Named => {
      const id = this.newId(parcel);
      return { parcel, pending, id, operation: parcel.put(id) };
    });
    if (named.length > 0) await this.#commit(named);
  }

  /** Has names begin with a revision that is not long gone: one that some member has. */
  async #look(drafts: readonly Draft[]): Promise<void> {
    const request = { key: this.#keys.paused, countOnly: true };
    const options = { serializable: true, timeout: leftOf(drafts) };
    this.saw((await this.#store.read(request, options)).revision);
  }

  #take(): Draft[] {
    const waiting = waitingOf(this.#drafts);
    const markers = new Set<string>();
    let bytes = 0;
    let count = 0;
    while (count < waiting.length && count < together) {
      const { parcel } = waiting[count] as Draft;
      const { marker } = parcel;
      bytes += parcel.bytes;
      if (count > 0 && bytes > bytesTogether) break;
      if (marker !== undefined && markers.size === markers.add(marker).size) break;
      count += 1;
    }
    this.#drafts = waiting.splice(count);
    return waiting;
  }

  async #commit(named: readonly Named[]): Promise<void> {
    for (const { pending } of named) pending.sent = true;
    const success = named.map(({ operation }) => operation);
    const options = { exactlyOnce: true, timeout: leftOf(named) };
    try {
      const { replies, revision } = await this.#store.commit({ success }, options);
      this.#tell(named, replies, revision);
    } catch (error) {
      if (error instanceof UnavailableError && error.cause instanceof PartialReply) {
        this.#tell(named, error.cause.replies, error.cause.revision, error);
        return;
      }
      // What was refused together may be the fault of one.
      if (wasRefused(error) && named.length > 1) {
        for (const each of named)
          for (const still of waitingOf([each])) await this.#commit([still]);
      } else if (wasRefused(error) && named[0]?.parcel.unprepare?.(error)) {
        // In its turn still: what comes after it waits.
        for (const { pending } of named) pending.sent = false;
        await this.#post(named);
      } else {
        for (const each of named) reject(each, error);
      }
    }
  }

  /** They were put. What became of one that has a marker, and no reply, is not known: that is told by `error`. */
  #tell(
    named: readonly Named[],
    replies: readonly (OperationReply | undefined)[],
    revision: bigint,
    error?: unknown,
  ): void {
    this.saw(revision);
    for (const [i, { id, pending, parcel }] of named.entries()) {
      const reply = replies[i];
      parcel.over?.(reply);
      if (!reply && parcel.marker !== undefined) pending.reject(error);
      else pending.resolve({ id, reply, revision });
    }
  }
}

/** Those whose callers have not given up; the others do not go on their way. */
function waitingOf<Each extends Draft>(drafts: readonly Each[]): Each[] {
  return drafts.filter(({ parcel, pending }) => {
    if (pending.isOver) parcel.over?.();
    return !pending.isOver;
  });
}

function reject({ parcel, pending }: Draft, error: unknown): void {
  pending.reject(error);
  parcel.over?.();
}

/** What cannot be prepared is rejected. */
async function prepare({ parcel, pending }: Draft): Promise<void> {
  try {
    await parcel.prepare?.({ timeout: pending.left });
  } catch (error) {
    pending.reject(notSent(error));
  }
}

/** What came before it failed: so it was not put, whatever became of that. */
function notSent(error: unknown): unknown {
  if (!(error instanceof UnavailableError) || error.outcome === 'not-applied') return error;
  return new UnavailableError('not-applied', error.failures, { cause: error });
}

/** The longest that one of the callers still waits. */
function leftOf(waiting: readonly Pick<Draft, 'pending'>[]): number {
  return Math.max(...waiting.map(({ pending }) => pending.left));
}
