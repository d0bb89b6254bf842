import { Departures } from '../core/line/departures.js';
import { Hold } from '../core/line/hold.js';
import { Place } from '../core/line/place.js';
import { fieldsIn, ticketOf } from '../core/line/ticket.js';
import { View } from '../core/line/view.js';
import type { Lease } from '../core/session/lease.js';
import type { Session } from '../core/session/session.js';
import { keyId, prefixRange } from '../core/store/keys.js';
import type { Compare, KeyValue, Operation, TxnReply } from '../core/store/store.js';

/** Where a read/write lock keeps the keys that an upgrade has to do with; all end with a slash. */
export interface UpgradeFolders {
  readonly all: string;
  readonly readers: string;
  readonly writers: string;
  /** Who upgrades puts a key here, which no reader passes. */
  readonly markers: string;
  /** When a key in here goes, all who wait look who is before them. */
  readonly terms: string;
}

/**
 * The create revision from which on readers are kept out by the key of an upgrade; the older ones were in when it was put. The
 * key itself says so: a reader whose answer was lost learns late that it was in, and must not wait for who waits for it.
 */
export function keptOutFrom({ value, createRevision }: KeyValue): bigint {
  const { behind } = fieldsIn(value);
  return /^\d+$/.test(String(behind)) ? BigInt(String(behind)) : createRevision;
}

/**
 * An upgrade from reading to writing: its key keeps new readers out, also those who wait for a writer before whom the
 * upgrade comes, and then it waits for the readers that were in when the key was put. Those are the readers older than
 * the oldest writer, waiting or not; whoever is younger waits for that writer, and so for us.
 */
export class Upgrade extends Place {
  readonly #session: Session;
  readonly #hold: Hold;
  readonly #folders: UpgradeFolders;
  /** Readers created before were in when the key was put. */
  #from = 0n;

  constructor(session: Session, lease: Lease, hold: Hold, folders: UpgradeFolders) {
    super(lease, session.store, [folders.markers], ticketOf(session.owner));
    this.#session = session;
    this.#hold = hold;
    this.#folders = folders;
  }

  /** Puts the key, and waits for the readers; `onEnd` is called when what it gives is lost or released. */
  async enter(signal: AbortSignal, onEnd: () => void): Promise<Hold> {
    const view = await this.#wait(await this.#mark(signal), signal);
    signal.throwIfAborted();
    return new Hold(this.#session.store, {
      place: this,
      within: this.#hold,
      revision: view.revision,
      watched: [prefixRange(this.#folders.all)],
      verify: true,
      onLost: onEnd,
      onRelease: onEnd,
      onGone: () => {},
    });
  }

  /** Puts the key: a view of the readers to be waited for. */
  async #mark(signal: AbortSignal): Promise<View> {
    const notice = new Notice(this.lease, this.#session.store, [this.#folders.terms], '');
    try {
      let found = await notice.announce(this.#isHeld, [this.#oldestWriter], signal);
      for (;;) {
        const marked = await this.#replace(notice, found.replies[0]?.kvs[0], signal);
        if (marked) return marked;
        found = await notice.look(this.#isHeld, [this.#oldestWriter], signal);
      }
    } finally {
      notice.withdraw();
    }
  }

  /** Puts the key, and deletes the notice in the same step, if that is the oldest writer still. */
  async #replace(
    notice: Notice,
    writer: KeyValue | undefined,
    signal: AbortSignal,
  ): Promise<View | undefined> {
    const { owner } = this.#session;
    const before = writer?.createRevision;
    this.value = ticketOf(owner, writer && { behind: String(writer.createRevision) });
    const conditions = [...this.#isHeld, ...notice.isOurs, this.#isOldest(writer)];
    const steps = [this.#readersBefore(before), { delete: { key: notice.key } }];
    const { reply, ours } = await this.put(conditions, steps, signal);
    if (reply.succeeded) {
      this.token = reply.revision;
      this.#from = before ?? this.token;
      return viewOf(reply);
    }
    if (!ours) return undefined;
    // An earlier attempt was applied, perhaps one that knew of another writer.
    this.token = ours.createRevision;
    this.#from = keptOutFrom(ours);
    return this.#look(signal);
  }

  async #wait(joined: View, signal: AbortSignal): Promise<View> {
    const { store } = this.#session;
    const { all, readers } = this.#folders;
    const lane = { folder: readers, rivals: prefixRange(readers), watched: prefixRange(all) };
    const departures = new Departures(store, lane, [this.key, this.#hold.key]);
    try {
      let view = joined;
      while (!view.lets(1)) {
        if (await departures.until(view, 1, signal)) continue;
        view = await this.#look(signal);
      }
      return view;
    } finally {
      departures.close();
    }
  }

  /** Reads who is left of the readers that were in. */
  async #look(signal: AbortSignal): Promise<View> {
    const compare = [...this.isOurs, ...this.#isHeld];
    const reply = await this.commit(
      { compare, success: [this.#readersBefore(this.#from)] },
      signal,
    );
    if (!reply.succeeded) throw await this.lostPlace(signal);
    return viewOf(reply);
  }

  get #isHeld(): Compare[] {
    const { key, token } = this.#hold;
    return [{ key, target: 'create', to: token }];
  }

  get #oldestWriter(): Operation {
    const writers = prefixRange(this.#folders.writers);
    return { range: { ...writers, sortBy: 'create', limit: 1, keysOnly: true } };
  }

  /** Those who come later are younger. */
  #isOldest(writer: KeyValue | undefined): Compare {
    return writer
      ? { key: writer.key, target: 'create', to: writer.createRevision }
      : { ...prefixRange(this.#folders.writers), target: 'create', to: 0n };
  }

  #readersBefore(from: bigint | undefined): Operation {
    const all = { ...prefixRange(this.#folders.readers), keysOnly: true };
    return { range: from === undefined ? all : { ...all, maxCreateRevision: from - 1n } };
  }
}

/** A key that makes waiting readers look, when it goes. */
class Notice extends Place {
  /** Puts the key, and gives what is read. @throws HoldLostError if the conditions do not hold, SessionLostError if the lease is gone. */
  async announce(
    conditions: readonly Compare[],
    reads: readonly Operation[],
    signal: AbortSignal,
  ): Promise<TxnReply> {
    const { reply, ours } = await this.put(conditions, reads, signal);
    this.token = ours?.createRevision ?? reply.revision;
    return reply.succeeded ? reply : this.look(conditions, reads, signal);
  }

  /** Reads while the key is there. @throws as `announce`. */
  async look(
    conditions: readonly Compare[],
    reads: readonly Operation[],
    signal: AbortSignal,
  ): Promise<TxnReply> {
    const compare = [...conditions, ...this.isOurs];
    const reply = await this.commit({ compare, success: reads }, signal);
    if (!reply.succeeded) throw await this.lostPlace(signal);
    return reply;
  }
}

function viewOf({ revision, replies }: TxnReply): View {
  const readers = replies[0]?.kvs ?? [];
  const ahead = new Map(readers.map(({ key }) => [keyId(key), 1]));
  return new View({ revision, ahead, nearest: undefined, complete: true, capacity: 1 });
}
