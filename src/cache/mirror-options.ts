import type { Codec } from '../core/codec.js';
import type { ChangeOrigin } from '../core/events/change-queue.js';
import type { RangeLimit } from '../core/store/range-reader.js';
import type { KeyValue } from '../core/store/store.js';

/** By what a value is found: one text or several. Only calculates; the same function is the same index for all mirrors. */
export type IndexOf<T> = (value: T, key: string) => string | readonly string[];

/** Options of a mirror. Those that mirror the same with the same options, and the same codec, share one copy. */
export interface MirrorOptions<T> {
  /** How values are read. @defaultValue JSON */
  readonly codec?: Codec<T>;
  /** By what values are found, for `by`. @defaultValue none */
  readonly indexes?: Readonly<Record<string, IndexOf<T>>>;
  /** How much there may be: where there is more, the mirror fails. @defaultValue 1,000,000 keys, 256 MiB */
  readonly limit?: Partial<RangeLimit>;
  /**
   * Milliseconds for which it may be unknown whether the mirror has everything before it says that it is stale. So long as it
   * is in use, etcd is asked three times as often. @defaultValue 10,000
   */
  readonly staleAfter?: number;
  /**
   * What becomes of a key whose value the codec cannot read: it is left out, or keeps the last value that could be read, if
   * there was one. @defaultValue `'omit'`
   */
  readonly undecodable?: 'omit' | 'keep';
  /**
   * What becomes of it where etcd refuses it, or there is more than `limit`: it ends, or keeps what it has, which goes stale,
   * and tries again, with pauses of up to 30 s. @defaultValue `'end'`
   */
  readonly onFailure?: 'end' | 'retry';
}

/** A key with its value, as of one revision. It never changes: do not change the value either, others see the same. */
export interface MirrorEntry<T> extends Omit<KeyValue, 'key' | 'value'> {
  readonly key: string;
  readonly value: T;
  /** How many bytes key and value have in etcd. */
  readonly bytes: number;
}

/** What became of a key. */
export type MirrorChange<T> =
  | {
      readonly type: 'added';
      readonly key: string;
      readonly entry: MirrorEntry<T>;
      readonly previous?: undefined;
    }
  | {
      readonly type: 'changed';
      readonly key: string;
      readonly entry: MirrorEntry<T>;
      readonly previous: MirrorEntry<T>;
    }
  | {
      readonly type: 'removed';
      readonly key: string;
      readonly entry?: undefined;
      readonly previous: MirrorEntry<T>;
    };

/** Changes that lead from one state to a later one: apply them together. */
export interface MirrorStep<T> {
  /** The revision of the state they lead to. */
  readonly revision: bigint;
  /** One for each key that is not as it was. */
  readonly changes: readonly MirrorChange<T>[];
  /** `initial`: all that there is. `resync`: etcd had forgotten the changes themselves, and this is what they came to. */
  readonly origin?: ChangeOrigin;
}

/**
 * - `syncing`: the first state is being read;
 * - `current`: it had everything that there was `staleAfter` milliseconds ago;
 * - `stale`: it may not have; it goes on, and what it has can be read;
 * - `failed`: it is over, or is tried again (`onFailure`), as `error` says;
 * - `closed`: it was closed here.
 */
export type MirrorState = 'syncing' | 'current' | 'stale' | 'failed' | 'closed';

/** What happens to a mirror. When it is told, all of its step can be read. */
export interface MirrorEvents<T> {
  added: (entry: MirrorEntry<T>) => void;
  changed: (entry: MirrorEntry<T>, previous: MirrorEntry<T>) => void;
  /** `previous` is the last that there was. */
  removed: (previous: MirrorEntry<T>) => void;
  /** A whole state was read: the first, or a later one where etcd had forgotten changes. What it changed was told before. */
  synced: (revision: bigint) => void;
  /** It may be behind by more than `staleAfter`. */
  stale: () => void;
  /** It is not stale any more. */
  current: () => void;
  /** A value of `key` cannot be read or indexed, and everything else goes on; without `key`, the mirror has failed. Where it is tried again that is told once, until it is well or fails otherwise. */
  error: (error: unknown, key?: string) => void;
}
