import { scan } from '../core/scan.js';
import { prefixRange } from '../core/store/keys.js';
import type { CallOptions, Operation, OperationReply, Store } from '../core/store/store.js';
import type { QueueKeys } from './queue-keys.js';

/** Keys that are read at once. */
const pageSize = 5_000;
const bang = 0x21;

/** Counts the jobs of a queue that are not done: those that wait, for their time too, and those that are worked on. */
export class Depth {
  /** Reads that give a bound from above. */
  readonly bounding: readonly Operation[];
  readonly #keys: QueueKeys;
  readonly #store: Store;

  constructor(store: Store, keys: QueueKeys) {
    this.#store = store;
    this.#keys = keys;
    this.bounding = [countOf(keys.ready), countOf(keys.delayed)];
  }

  /** What `bounding` gave: at least as many as there are, as what is beside the records counts, too. */
  boundOf(replies: readonly OperationReply[]): number {
    return replies.reduce((sum, { count }) => sum + count, 0);
  }

  /** Reads a bound from above. */
  async bound(
    options: CallOptions,
  ): Promise<{ readonly count: number; readonly revision: bigint }> {
    const { replies, revision } = await this.#store.commit({ success: this.bounding }, options);
    return { count: this.boundOf(replies), revision };
  }

  /** Reads how many there are at a revision: each of their keys. */
  async exact(revision: bigint, signal: AbortSignal): Promise<number> {
    const { ready, delayed } = this.#keys;
    let count = 0;
    for (const folder of [ready, delayed]) {
      const keys = scan(this.#store, prefixRange(folder), {
        revision,
        pageSize,
        signal,
        keysOnly: true,
      });
      // In a folder no name has one, and what is beside a record does.
      for await (const { key } of keys)
        if (!key.includes(bang, Buffer.byteLength(folder))) count += 1;
    }
    return count;
  }
}

function countOf(folder: string): Operation {
  return { range: { ...prefixRange(folder), countOnly: true } };
}
