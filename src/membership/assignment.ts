import type { Data } from '../core/store/keys.js';
import type { Owners } from './shares.js';

/** There may be so many shards. */
export const maxShards = 10_000;

/** Who is to own which shard. */
export interface Assignment {
  /** The revision at which it was decided. */
  readonly revision: bigint;
  /** How many shards there are. */
  readonly shards: number;
  /** By shard, the ID of its owner; `undefined` where nobody could own it. */
  readonly owners: Owners;
}

/** What the key of an assignment has: each ID once, as there may be many shards. */
export function encodeAssignment({ shards, owners }: Omit<Assignment, 'revision'>): Data {
  const members = [...new Set(owners)].filter((id) => id !== undefined);
  const indexes = new Map<string | undefined, number>(members.map((id, i) => [id, i]));
  return JSON.stringify({ shards, members, owners: owners.map((id) => indexes.get(id) ?? -1) });
}

/** What such a value says; `undefined` if it is none. */
export function assignmentIn(
  value: Readonly<Record<string, unknown>>,
  revision: bigint,
): Assignment | undefined {
  const { shards, members, owners } = value;
  if (!isShards(shards) || !Array.isArray(members) || !Array.isArray(owners)) return undefined;
  const ids: unknown[] = owners.map((i) => members[i as number] as unknown);
  return { revision, shards, owners: ids.map((id) => (typeof id === 'string' ? id : undefined)) };
}

function isShards(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) <= maxShards;
}
