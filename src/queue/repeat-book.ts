import { Cell } from '../core/cell.js';
import { scan } from '../core/scan.js';
import type { Session } from '../core/session/session.js';
import { LimitError } from '../core/store/errors.js';
import { prefixRange, toBytes } from '../core/store/keys.js';
import type { CallOptions } from '../core/store/store.js';
import { Ticks } from '../core/time/ticks.js';
import { escaped, type QueueKeys } from './queue-keys.js';
import {
  decodeRepeat,
  encodeRepeat,
  type RepeatOptions,
  type Repetition,
  replaced,
  specOf,
} from './repeat-record.js';

/** Bytes: a job is put in one step with the record of its tick, which has the value, too; and etcd takes 1.5 MiB. */
const mostBytes = 700_000;

/** The jobs of a queue that are put again and again, for those who say which. */
export class RepeatBook {
  readonly #session: Session;
  readonly #folder: string;

  constructor(session: Session, keys: QueueKeys) {
    this.#session = session;
    this.#folder = keys.repeats;
  }

  /** Adds one, or changes it. @throws ArgumentError, LimitError if the value is too large, UnavailableError, RefusedError; the reason of `options.signal`. */
  async set(key: string, cron: string, value: Buffer, options: RepeatOptions): Promise<void> {
    const spec = specOf(cron, options);
    if (value.length > mostBytes) {
      throw new LimitError('the value of a repeated job', 'repeat', value.length, mostBytes);
    }
    const { store, clock } = this.#session;
    const where = this.#placeOf(key);
    await Cell.at(store, where, clock).change((bytes) => {
      const before = bytes && decodeRepeat({ key: toBytes(where), value: bytes });
      const after = encodeRepeat(spec, replaced(before, spec), value);
      return { result: undefined, ...(!bytes?.equals(after) && { value: after }) };
    }, options);
  }

  /** Takes one out; says whether it was there. @throws as `set`. */
  async delete(key: string, options: CallOptions): Promise<boolean> {
    const success = [{ delete: { key: this.#placeOf(key) } }];
    const once = { ...options, exactlyOnce: true };
    const { replies } = await this.#session.store.commit({ success }, once);
    return replies[0]?.count === 1;
  }

  #placeOf(key: string): string {
    // What is no text would be another key in etcd.
    escaped('key', key);
    return this.#folder + key;
  }

  /** All of them, by key, with the values as `decode` gives them. @throws as `set`; what `decode` throws. */
  async list<T>(decode: (value: Buffer) => T, options: CallOptions): Promise<Repetition<T>[]> {
    const found: Repetition<T>[] = [];
    for await (const kv of scan(this.#session.store, prefixRange(this.#folder), options)) {
      const { spec, progress, value } = decodeRepeat(kv);
      const { cron, timeZone } = spec;
      const { after = 0, last, isNew } = progress;
      found.push({
        key: kv.key.toString().slice(this.#folder.length),
        cron,
        timeZone,
        value: decode(value),
        last: last === undefined ? undefined : new Date(last),
        next: isNew ? undefined : new Date(new Ticks(cron, timeZone).after(after)),
      });
    }
    return found;
  }
}
