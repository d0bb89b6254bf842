import { ClosedError } from '../store/errors.js';
import { type Keys, rangeOf } from '../store/key-span.js';
import { type Data, type KeyRange, keyId } from '../store/keys.js';
import type { PutRequest } from '../store/store.js';
import { checkTxn } from '../txn/check-txn.js';
import { type Reads, toRead } from './stm-reads.js';
import type { Pair, Writes } from './stm-writes.js';

/** A pair as a transaction sees it. */
export interface StmPair {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Whether the function that a transaction runs has ended. */
export interface StmLife {
  hasEnded: boolean;
}

/**
 * What a function given to `stm` reads and writes with. Reads see the writes before them; what is written
 * becomes visible to others all at once when the function has ended. It is of use only until then.
 */
export class StmTx {
  readonly #reads: Reads;
  readonly #writes: Writes;
  readonly #life: StmLife;

  constructor(reads: Reads, writes: Writes, life: StmLife) {
    this.#reads = reads;
    this.#writes = writes;
    this.#life = life;
  }

  /**
   * The value of a key; `undefined` if it does not exist. etcd is asked once for each key; what is asked
   * for at the same time, as with `Promise.all`, travels together.
   *
   * @throws ArgumentError if the key is empty; ClosedError after the function has ended.
   */
  async get(key: Data): Promise<Buffer | undefined> {
    const [pair] = await this.#read({ key });
    return pair?.value;
  }

  /**
   * The pairs of a range, by key. Each of them counts towards the 128 comparisons that etcd takes.
   *
   * @throws ArgumentError if the range is not usable; ClosedError after the function has ended.
   */
  range(range: KeyRange): Promise<readonly StmPair[]> {
    return this.#read(range);
  }

  /**
   * Reads keys and ranges with one request, so that `get` and `range` have them at once. Only what
   * these then ask for counts as read.
   *
   * @throws ArgumentError if a range is not usable; ClosedError after the function has ended.
   */
  async prefetch(...keys: readonly Keys[]): Promise<void> {
    this.#checkOpen();
    await this.#reads.prefetch(keys.map(toRead));
  }

  /**
   * Writes a key, kept by `lease` if given.
   *
   * @throws ArgumentError if something is not usable; ClosedError after the function has ended.
   */
  put(key: Data, value: Data, { lease = 0n }: Pick<PutRequest, 'lease'> = {}): void {
    this.#checkOpen();
    checkTxn({ success: [{ put: { key, value, lease } }] });
    this.#writes.put(key, value, lease);
  }

  /**
   * Deletes a key or range.
   *
   * @throws ArgumentError if something is not usable; ClosedError after the function has ended.
   */
  delete(keys: Keys): void {
    this.#checkOpen();
    checkTxn({ success: [{ delete: rangeOf(keys) }] });
    this.#writes.delete(keys);
  }

  async #read(keys: KeyRange): Promise<StmPair[]> {
    this.#checkOpen();
    const range = toRead(keys);
    const isWritten = range.end === undefined && this.#writes.has(keyId(range.key));
    const pairs = this.#writes.over(range, isWritten ? [] : await this.#reads.read(range));
    return pairs.flatMap(copied);
  }

  #checkOpen(): void {
    if (this.#life.hasEnded) throw new ClosedError('transaction');
  }
}

/** Others are told the same bytes. */
function copied({ key, value }: Pair): StmPair[] {
  return value ? [{ key: Buffer.from(key), value: Buffer.from(value) }] : [];
}
