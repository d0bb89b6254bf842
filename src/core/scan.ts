import { keyAfter } from './store/key-span.js';
import type { KeyRange } from './store/keys.js';
import type { KeyValue, RangeReply, ReadOptions, Store } from './store/store.js';
import { onAbort } from './time/signals.js';
import { checkRead } from './txn/check-txn.js';
import { ending, wholeFrom } from './validate.js';

/** How to go through a range. */
export interface ScanOptions extends ReadOptions {
  /** How many pairs are read at once; up to two pages are in memory. @defaultValue 1,000 */
  readonly pageSize?: number;
  /** Leaves the values out. @defaultValue `false` */
  readonly keysOnly?: boolean;
  /** Goes through the range as of this revision. @defaultValue that of the first page */
  readonly revision?: bigint;
}

/**
 * Goes through a range by key, page by page, all as of one revision. While the caller works on a page the next
 * one is on its way. Each iteration is a scan of its own.
 *
 * @throws ArgumentError if an option is not usable.
 */
export function scan(
  store: Store,
  range: KeyRange,
  options: ScanOptions = {},
): AsyncIterable<KeyValue> {
  ending(options.signal);
  const pageSize = wholeFrom(1, 'pageSize', options.pageSize ?? 1_000);
  checkRead({ ...range, ...(options.revision !== undefined && { revision: options.revision }) });
  return { [Symbol.asyncIterator]: () => pages(store, range, pageSize, options) };
}

async function* pages(
  store: Store,
  range: KeyRange,
  limit: number,
  { keysOnly = false, revision, signal, ...options }: ScanOptions,
): AsyncGenerator<KeyValue, void, void> {
  const life = new AbortController();
  const release = onAbort(signal, () => life.abort(signal?.reason));
  const read = (from: Partial<KeyRange>, at?: bigint, more?: ReadOptions): Promise<RangeReply> => {
    const request = {
      ...range,
      ...from,
      limit,
      keysOnly,
      ...(at !== undefined && { revision: at }),
    };
    const page = store.read(request, { ...options, ...more, signal: life.signal });
    // The caller may never ask for it.
    page.catch(() => {});
    return page;
  };
  try {
    let page = await read({}, revision);
    const at = revision ?? page.revision;
    for (let last = page.kvs.at(-1); last && page.count > page.kvs.length; last = page.kvs.at(-1)) {
      // What was is the same at every member.
      const next = read({ key: keyAfter(last.key) }, at, { serializable: true });
      yield* page.kvs;
      page = await next;
    }
    yield* page.kvs;
  } finally {
    release();
    life.abort();
  }
}
