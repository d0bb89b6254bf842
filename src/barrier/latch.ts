import { randomUUID } from 'node:crypto';
import { ticketOf } from '../core/line/ticket.js';
import type { Session } from '../core/session/session.js';
import { ConflictError } from '../core/store/errors.js';
import { folderOf, prefixRange } from '../core/store/keys.js';
import type { CallOptions, Compare, KeyValue, Operation } from '../core/store/store.js';
import type { WaitOptions } from '../core/time/signals.js';
import { nonEmpty, wholeFrom } from '../core/validate.js';
import { until } from '../core/watch/until.js';

/** A latch as others see it. */
export interface LatchState {
  /** How many parties it waits for; `undefined` until one has counted down. */
  readonly count: number | undefined;
  /** Who has counted down, in that order. */
  readonly parties: readonly string[];
}

/**
 * Opens when so many parties have counted down, and stays open until it is reset. A party that counts down again, such as
 * after a restart, counts once.
 */
export class Latch {
  /** The name under which processes meet. */
  readonly name: string;
  /** How many parties it waits for. */
  readonly count: number;
  readonly #session: Session;
  readonly #folder: string;
  readonly #countKey: string;
  readonly #parties: string;

  /** @throws ArgumentError if the name is empty, or the count not a whole number from 1. */
  constructor(session: Session, name: string, count: number) {
    this.name = name;
    this.count = wholeFrom(1, 'count', count);
    this.#session = session;
    this.#folder = folderOf('latch', name);
    this.#countKey = `${this.#folder}count`;
    this.#parties = `${this.#folder}parties/`;
  }

  /**
   * Counts down for a party. Gives how many are still waited for; 0 when it is open.
   *
   * @param party - who counts down. @defaultValue somebody new each time
   * @throws ArgumentError if `party` is empty.
   * @throws ConflictError if others use the latch with another count; then it was not counted.
   * @throws UnavailableError if etcd did not answer in time; do it again for the same party.
   * @throws the reason of `options.signal`.
   */
  async countDown(party: string = randomUUID(), options: CallOptions = {}): Promise<number> {
    const key = this.#parties + nonEmpty('party', party);
    const put: Operation = { put: { key, value: ticketOf(this.#session.owner) } };
    const many: Operation = { range: { ...prefixRange(this.#parties), countOnly: true } };
    const once: Operation = { txn: { compare: [isAbsent(key)], success: [put] } };
    const reply = await this.#session.store.commit(
      {
        compare: [isAbsent(this.#countKey)],
        success: [{ put: { key: this.#countKey, value: String(this.count) } }, put, many],
        failure: [
          { range: { key: this.#countKey } },
          {
            txn: {
              compare: [{ key: this.#countKey, target: 'value', to: String(this.count) }],
              success: [once, many],
            },
          },
        ],
      },
      { ...options, exactlyOnce: true },
    );
    const { replies, succeeded } = reply;
    const [count, inner] = replies;
    if (!succeeded && !inner?.txn?.succeeded) {
      throw this.#disagreement(String(count?.kvs[0]?.value));
    }
    const counted = (succeeded ? replies : inner?.txn?.replies)?.at(-1)?.count ?? 0;
    return Math.max(0, this.count - counted);
  }

  /**
   * Waits until it is open.
   *
   * @throws ConflictError if others use the latch with another count.
   * @throws WaitTimeoutError, or the reason of `wait.signal`; ClosedError if the session is closed.
   */
  async wait(wait: WaitOptions = {}): Promise<void> {
    const range = prefixRange(this.#folder);
    const what = { recipe: 'latch', verb: 'wait', name: this.name, range };
    const isOpen = (keys: readonly KeyValue[]): true | undefined => {
      const { count, parties } = this.#stateOf(keys);
      if (count !== undefined && count !== this.count) throw this.#disagreement(count);
      return (count !== undefined && parties.length >= count) || undefined;
    };
    await until(this.#session, what, isOpen, wait);
  }

  /** Begins anew: nobody has counted down, and the count may be another. @throws UnavailableError, RefusedError */
  async reset(options: CallOptions = {}): Promise<void> {
    const success: Operation[] = [{ delete: prefixRange(this.#folder) }];
    await this.#session.store.commit({ success }, { ...options, exactlyOnce: true });
  }

  /** Who has counted down, and how many there are to be. @throws UnavailableError if no endpoint answers. */
  async inspect(options: CallOptions = {}): Promise<LatchState> {
    const { kvs } = await this.#session.store.read(prefixRange(this.#folder), options);
    return this.#stateOf(kvs);
  }

  #stateOf(keys: readonly KeyValue[]): LatchState {
    const count = keys.find(({ key }) => key.toString() === this.#countKey);
    const parties = keys
      .filter((kv) => kv !== count)
      .toSorted((a, b) => Number(a.createRevision - b.createRevision))
      .map(({ key }) => key.toString().slice(this.#parties.length));
    return { count: count && Number(count.value.toString()), parties };
  }

  #disagreement(count: number | string): ConflictError {
    return new ConflictError(`latch ${this.name} waits for ${count} parties, not ${this.count}`);
  }
}

function isAbsent(key: string): Compare {
  return { key, target: 'create', to: 0n };
}
