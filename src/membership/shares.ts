/** Nobody may weigh more. */
export const maxWeight = 1_000;

/** Who has a share of the shards. */
export interface Shareholder {
  readonly id: string;
  /** Its share, against the others'; 0 for none. */
  readonly weight: number;
}

/** By shard, who is to own it; `undefined` where nobody can. */
export type Owners = readonly (string | undefined)[];

/**
 * Who is to own each of so many shards. Everybody's number is the proportional share of his weight, rounded down or up: so with
 * equal weights no two differ by more than one. Of `before` it moves as few as any assignment of that kind could.
 */
export function share(
  before: Owners,
  holders: readonly Shareholder[],
  shards: number,
): (string | undefined)[] {
  const owned = new Map<string, number[]>(holders.map(({ id }) => [id, []]));
  for (let shard = 0; shard < shards; shard += 1) owned.get(before[shard] ?? '')?.push(shard);
  const quotas = quotasOf(owned, holders, shards);
  const owners: (string | undefined)[] = Array.from({ length: shards }, () => undefined);
  for (const [id, own] of owned) {
    for (const shard of own.slice(0, quotas.get(id))) owners[shard] = id;
  }
  const takers = [...owned].flatMap(([id, { length }]) =>
    Array.from({ length: Math.max(0, (quotas.get(id) ?? 0) - length) }, () => id),
  );
  return owners.map((owner) => owner ?? takers.pop());
}

/**
 * How many each is to own. Rounding down leaves some over, fewer than there are shares with a fraction: they go to those who own
 * more than their share rounded down, who would have to give one away otherwise, and then to the largest fractions.
 */
function quotasOf(
  owned: ReadonlyMap<string, readonly number[]>,
  holders: readonly Shareholder[],
  shards: number,
): Map<string, number> {
  const total = holders.reduce((sum, { weight }) => sum + weight, 0);
  if (total === 0) return new Map();
  const shares = holders.map(({ id, weight }) => {
    // Whole numbers: fractions would be rounded.
    const least = Math.floor((shards * weight) / total);
    const fraction = (shards * weight) % total;
    return { id, least, fraction, keeps: (owned.get(id)?.length ?? 0) > least };
  });
  const over = shards - shares.reduce((sum, { least }) => sum + least, 0);
  const extra = shares
    .filter(({ fraction }) => fraction > 0)
    .toSorted(
      (a, b) =>
        Number(b.keeps) - Number(a.keeps) || b.fraction - a.fraction || (a.id < b.id ? -1 : 1),
    )
    .slice(0, over);
  const quotas = new Map(shares.map(({ id, least }) => [id, least]));
  for (const { id, least } of extra) quotas.set(id, least + 1);
  return quotas;
}
