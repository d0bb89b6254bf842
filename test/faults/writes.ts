import {
  ArgumentError,
  HoldLostError,
  prefixRange,
  RefusedError,
  type Store,
  UnavailableError,
} from '../../src/index.js';

/** What is known of a write: `applied` is sure, at whatever revision. */
type Fate = 'unknown' | 'applied' | 'not-applied' | { readonly revision: bigint };

/** What the error of a write says of its fate. */
export function fateOf(error: unknown): 'unknown' | 'applied' | 'not-applied' {
  if (error instanceof UnavailableError) return error.outcome;
  const refused = [RefusedError, HoldLostError, ArgumentError].some(
    (kind) => error instanceof kind,
  );
  return refused ? 'not-applied' : 'unknown';
}

/** Writes of keys that are each written once, and what became of them. */
export class Writes {
  readonly prefix: string;
  readonly #fates = new Map<string, Fate>();

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  /** A key to write. */
  next(): string {
    const key = `${this.prefix}${String(this.#fates.size + 1).padStart(6, '0')}`;
    this.#fates.set(key, 'unknown');
    return key;
  }

  settle(key: string, fate: Fate): void {
    this.#fates.set(key, fate);
  }

  /** Compares with what is in etcd in the end. */
  async check(store: Store): Promise<string[]> {
    const { kvs } = await store.read(prefixRange(this.prefix));
    const found = new Map(kvs.map((kv) => [kv.key.toString(), kv]));
    const wrong: string[] = [];
    for (const [key, fate] of this.#fates) {
      const kv = found.get(key);
      if (kv === undefined) {
        if (fate !== 'unknown' && fate !== 'not-applied') wrong.push(`${key} is lost`);
        continue;
      }
      if (kv.version !== 1n) wrong.push(`${key} was written ${kv.version} times`);
      if (fate === 'not-applied') wrong.push(`${key} was written though that failed for sure`);
      if (typeof fate === 'object' && fate.revision !== kv.modRevision) {
        wrong.push(`${key} was written at ${kv.modRevision}, not at ${fate.revision}`);
      }
    }
    return wrong;
  }
}
