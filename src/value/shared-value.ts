import { Cell } from '../core/cell.js';
import { type Codec, json } from '../core/codec.js';
import type { Session } from '../core/session/session.js';
import { folderOf } from '../core/store/keys.js';
import type { CallOptions, KeyValue, Operation } from '../core/store/store.js';
import { type WaitOptions, waitScope } from '../core/time/signals.js';
import { checkNumber } from '../core/validate.js';
import { until } from '../core/watch/until.js';
import { Watching } from '../core/watch/watching.js';

/** Options of a shared value. */
export interface SharedValueOptions<T> {
  /** How it is written. @defaultValue JSON */
  readonly codec?: Codec<T>;
}

/** What a shared value was at some time. */
export interface Versioned<T> {
  /** `undefined` where there was none. */
  readonly value: T | undefined;
  /** The revision at which it was written, or deleted; 0 where it is not there, and nothing is known of before. */
  readonly revision: bigint;
}

/** A value shared by all processes on one etcd: read, changed depending on what it is, and followed. */
export class SharedValue<T> {
  /** The name under which processes meet. */
  readonly name: string;
  readonly #session: Session;
  readonly #key: string;
  readonly #codec: Codec<T>;
  readonly #cell: Cell;

  /** @throws ArgumentError if the name is empty. */
  constructor(session: Session, name: string, { codec = json<T>() }: SharedValueOptions<T> = {}) {
    this.name = name;
    this.#session = session;
    this.#key = `${folderOf('value', name)}value`;
    this.#codec = codec;
    this.#cell = Cell.at(session.store, this.#key, session.clock);
  }

  /**
   * What it is now.
   *
   * @throws UnavailableError if no endpoint answers; what the codec throws.
   */
  async get(options?: CallOptions): Promise<Versioned<T>> {
    const { value, revision } = await this.#cell.read(options);
    return { value: this.#decode(value), revision };
  }

  /**
   * Sets it, whatever it was. Gives the revision at which that took effect.
   *
   * @throws UnavailableError if etcd did not answer in time; `outcome` says whether it may have been set.
   * @throws the reason of `options.signal`; RefusedError, LimitError.
   */
  async set(value: T, options?: CallOptions): Promise<bigint> {
    return (await this.#commit(this.#put(value), undefined, options)) as bigint;
  }

  /**
   * Sets it if it was not written since `revision`, as `get` and others gave it, 0 for one that is not there. Gives the
   * revision at which that took effect, or `undefined`.
   *
   * @throws ArgumentError if `revision` cannot be one; or as `set`.
   */
  async replace(revision: bigint, value: T, options?: CallOptions): Promise<bigint | undefined> {
    return this.#commit(this.#put(value), checkNumber('revision', revision), options);
  }

  /**
   * Changes it to what `change` makes of it. `change` only calculates: it may run more than once, and what it is given stays
   * as it is. What it throws is thrown here, and nothing is changed.
   *
   * @throws as `set`.
   */
  async update(
    change: (value: T | undefined) => T,
    options?: CallOptions,
  ): Promise<Versioned<T> & { readonly value: T }> {
    const { result: value, revision } = await this.#cell.change((before) => {
      const result = change(this.#decode(before));
      return { result, value: this.#codec.encode(result) };
    }, options);
    return { value, revision };
  }

  /** Deletes it; gives the revision at which it was not there. @throws as `set`. */
  async delete(options?: CallOptions): Promise<bigint> {
    return (await this.#commit({ delete: { key: this.#key } }, undefined, options)) as bigint;
  }

  /**
   * What it is now, and then whatever it becomes, through outages; the newest only, where the loop is slower than others write.
   * Ends when the loop is left, or with an error that says why.
   *
   * @throws the reason of `options.signal`; ClosedError if the session is closed; what the codec throws.
   */
  async *watch({ signal }: Pick<WaitOptions, 'signal'> = {}): AsyncGenerator<Versioned<T>, void> {
    const { store, closing, clock } = this.#session;
    const scope = waitScope(signal ? { signal } : {}, closing, clock);
    const options = { initial: true, coalesce: true, signal: scope.signal };
    try {
      const watching = new Watching(store, { key: this.#key }, options, clock);
      for await (const { changes } of watching.revisions()) {
        const { type, kv } = changes.at(-1) ?? { type: 'delete' };
        const value = type === 'put' ? this.#decode(kv?.value) : undefined;
        yield { value, revision: kv?.modRevision ?? 0n };
      }
    } finally {
      scope.dispose();
    }
  }

  /**
   * Waits until it is as `reached` wants it. A state that others replace at once may go unseen.
   *
   * @throws WaitTimeoutError, or the reason of `wait.signal`; ClosedError if the session is closed; what `reached` or the codec
   * throws.
   */
  until(reached: (value: T | undefined) => boolean, wait: WaitOptions = {}): Promise<Versioned<T>> {
    const look = ([kv]: readonly KeyValue[]): Versioned<T> | undefined => {
      const value = this.#decode(kv?.value);
      return reached(value) ? { value, revision: kv?.modRevision ?? 0n } : undefined;
    };
    const what = { recipe: 'value', verb: 'until', name: this.name, range: { key: this.#key } };
    return until(this.#session, what, look, wait);
  }

  #put(value: T): Operation {
    return { put: { key: this.#key, value: this.#codec.encode(value) } };
  }

  /** Gives the revision, or `undefined` if it was not as `expected`. */
  async #commit(
    operation: Operation,
    expected: bigint | undefined,
    options: CallOptions = {},
  ): Promise<bigint | undefined> {
    const compare =
      expected === undefined ? [] : [{ key: this.#key, target: 'mod', to: expected } as const];
    const txn = { compare, success: [operation] };
    const reply = await this.#session.store.commit(txn, { ...options, exactlyOnce: true });
    return reply.succeeded ? reply.revision : undefined;
  }

  #decode(value: Uint8Array | undefined): T | undefined {
    return value === undefined ? undefined : this.#codec.decode(value);
  }
}
