import type { LineEntry } from '../core/line/line.js';
import { ArgumentError, type LossReason } from '../core/store/errors.js';
import { milliseconds, nonEmpty, wholeFrom } from '../core/validate.js';
import { maxShards } from './assignment.js';
import type { Member } from './member.js';
import type { ShareOf } from './partition-keys.js';
import type { ShardHold } from './shard-hold.js';
import { maxWeight } from './shares.js';

/** Options of a partitioner. Those who use one name must agree on `shards`. */
export interface PartitionerOptions {
  /** How many shards there are: from 1 to 10,000. The first to use the name stores it. */
  readonly shards: number;
  /**
   * Milliseconds that members must have been the same before shards move: who comes back under its ID within that time finds its
   * shards where they were. Where they change without end, shards move after ten times as long. Who leaves by itself is not
   * waited for. @defaultValue 1,000
   */
  readonly settle?: number;
  /**
   * Milliseconds that the handler of a shard that moves has to come to its end; then whoever waits for the shard takes it away,
   * which `audit` tells of. @defaultValue 30,000
   */
  readonly drainWithin?: number;
}

/** How to take part. */
export interface PartitionOptions {
  /** Has all handlers end, gives all shards back, and ends `run`, which rejects with `signal.reason`. */
  readonly signal?: AbortSignal;
  /** What tells us from the others. Who comes back under one ID gets its shards again. @defaultValue one that nobody else has */
  readonly id?: string;
  /** Our share of the shards, against the others': a whole number up to 1,000; 0 for none. @defaultValue 1 */
  readonly weight?: number;
}

/**
 * Works on a shard while it is ours: is to end when `shard.draining` aborts. What it throws is told, and it is called again after a
 * pause. When it returns before, it is not called again before we get the shard anew.
 */
export type ShardHandler = (shard: ShardHold) => Promise<void> | void;

/** Which hold of which shard an event is about. */
export interface ShardEvent {
  readonly shard: number;
  readonly token: bigint;
}

/** What happens to a partitioner's shards here. */
export interface PartitionerEvents {
  /** Another has our ID: what is decided for that is for him, and our handlers are to end. We take part when he has gone. */
  waiting: (event: { readonly id: string }) => void;
  /** These are to be ours now. */
  assigned: (event: { readonly revision: bigint; readonly shards: readonly number[] }) => void;
  /** A shard is ours: its handler is called. */
  acquired: (event: ShardEvent) => void;
  /** It is for somebody else: its handler is to end. */
  draining: (event: ShardEvent) => void;
  /** Its handler has ended, and it was given back, or went while that was under way: of each that was `acquired`, this or `lost`. */
  released: (event: ShardEvent) => void;
  /** It is not ours any more, whatever its handler does. */
  lost: (event: ShardEvent & { readonly reason: LossReason }) => void;
  /** Its handler has thrown, and is called again after so many milliseconds; `undefined` if it is not. */
  failed: (
    event: ShardEvent & { readonly error: unknown; readonly retryIn: number | undefined },
  ) => void;
  /** It is for us, and we took it away from who did not give it back within `drainWithin`. */
  forced: (event: ShardEvent & { readonly holder: LineEntry }) => void;
  /** etcd refuses something; it is tried again. */
  error: (error: unknown) => void;
}

/** Who owns a shard, or waits for it. */
export interface ShardEntry extends LineEntry {
  /** The ID of the member; `undefined` if somebody else wrote the key. */
  readonly member: string | undefined;
}

/** A shard, as others see it. */
export interface ShardState {
  readonly shard: number;
  /** The ID of the member that is to own it; another than the owner's while it moves. */
  readonly assigned: string | undefined;
  /** Who owns it, with the token. */
  readonly owner: ShardEntry | undefined;
  /** Who waits for it. */
  readonly waiting: readonly ShardEntry[];
}

/** A partitioner, as of one revision. */
export interface PartitionerState {
  /** In the order in which they came. */
  readonly members: readonly Member<ShareOf>[];
  /** By number; empty before anybody has used the name. */
  readonly shards: readonly ShardState[];
}

/** All options, checked. @throws ArgumentError if one is not usable. */
export function checkPartitioner({
  shards,
  settle = 1_000,
  drainWithin = 30_000,
}: PartitionerOptions): Required<PartitionerOptions> {
  return {
    shards: checkShards(shards),
    settle: milliseconds('settle', settle, 0, 3_600_000),
    drainWithin: milliseconds('drainWithin', drainWithin),
  };
}

/** Passes a number of shards or throws. @throws ArgumentError */
export function checkShards(shards: number): number {
  if (wholeFrom(1, 'shards', shards) <= maxShards) return shards;
  throw new ArgumentError('shards', 'at most 10,000', shards);
}

/** Passes what tells a member, and its weight, or throws. @throws ArgumentError */
export function checkShareholder(id: string, weight: number): void {
  nonEmpty('id', id);
  if (wholeFrom(0, 'weight', weight) > maxWeight) {
    throw new ArgumentError('weight', 'at most 1,000', weight);
  }
}
