import type { Hold } from '../core/line/hold.js';
import type { Owner, Session } from '../core/session/session.js';
import { ConflictError } from '../core/store/errors.js';
import type { CallOptions, KeyValue } from '../core/store/store.js';
import { persist } from '../core/time/persist.js';
import type { TickReport } from './schedule-options.js';

/** What is written down of a schedule. Times are milliseconds since 1970. */
export interface ScheduleRecord {
  /** What is followed. */
  readonly cron: string;
  readonly timeZone: string;
  /** Ticks up to here were begun, or left out. */
  readonly after: number;
  /** The tick that was begun last. */
  readonly last?: TickRecord;
}

/** What is written down of a tick. */
export interface TickRecord extends Pick<TickReport, 'state' | 'attempt' | 'error'> {
  readonly tick: number;
  readonly token: string;
  readonly by: Owner;
}

/** The record of a schedule, for whoever holds the schedule: nobody else writes it. */
export class Logbook {
  readonly #session: Session;
  readonly #key: string;
  readonly #hold: Hold;
  #record: ScheduleRecord | undefined;
  #revision = 0n;

  private constructor(session: Session, key: string, hold: Hold) {
    this.#session = session;
    this.#key = key;
    this.#hold = hold;
  }

  /** Reads what others have written. @throws as `write`; ConflictError if that is no record. */
  static async open(session: Session, key: string, hold: Hold): Promise<Logbook> {
    const book = new Logbook(session, key, hold);
    const { clock } = session;
    const kv = await persist((limit) => book.#read(limit), hold.signal, clock);
    book.#record = kv && recordIn(kv);
    return book;
  }

  /** As it was read, or written last. */
  get record(): ScheduleRecord | undefined {
    return this.#record;
  }

  /** Writes it. Goes on through outages. @throws HoldLostError when the schedule is held no more; RefusedError. */
  async write(record: ScheduleRecord): Promise<void> {
    const value = JSON.stringify(record);
    const write = async (limit: CallOptions): Promise<boolean> => {
      // What was sent before and comes late finds another revision.
      const reply = await this.#hold
        .txn()
        .if({ key: this.#key, target: 'mod', to: this.#revision })
        .put(this.#key, value)
        .commit(limit);
      if (reply.succeeded) this.#revision = reply.revision;
      else await this.#read(limit);
      return reply.succeeded;
    };
    while (!(await persist(write, this.#hold.signal, this.#session.clock)));
    this.#record = record;
  }

  async #read(limit: CallOptions): Promise<KeyValue | undefined> {
    const { kvs } = await this.#session.store.read({ key: this.#key }, limit);
    this.#revision = kvs[0]?.modRevision ?? 0n;
    return kvs[0];
  }
}

/** The record that a key has. @throws ConflictError if it has something else */
export function recordIn({ key, value }: KeyValue): ScheduleRecord {
  const text = value.toString();
  try {
    const record = JSON.parse(text) as ScheduleRecord;
    const { cron, timeZone, after, last } = record;
    const isFollowed = typeof cron === 'string' && typeof timeZone === 'string' && isTime(after);
    if (isFollowed && (last === undefined || isTick(last))) return record;
  } catch {
    // Said below.
  }
  throw new ConflictError(
    `${key.toString()} has no record but ${JSON.stringify(text.slice(0, 40))}`,
  );
}

function isTick({ tick, attempt, token }: TickRecord): boolean {
  return isTime(tick) && Number.isSafeInteger(attempt) && /^\d+$/.test(token);
}

/** Whether it is a time that a `Date` can have. */
function isTime(value: unknown): boolean {
  return typeof value === 'number' && !Number.isNaN(new Date(value).getTime());
}
