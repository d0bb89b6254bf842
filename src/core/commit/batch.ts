import { Footprints } from './footprint.js';
import type { PendingCommit } from './pending-commit.js';

/** How large a batch may be. */
export interface BatchLimits {
  /** Operations, with those of its transactions. */
  readonly operations: number;
  /** Bytes of the request. */
  readonly bytes: number;
  /** Transactions. */
  readonly size: number;
  /** Whether those that need space travel apart from those that need none. */
  readonly bySpace: boolean;
}

/** Transactions that may travel together, since none of them has to do with what another one writes. */
export class Batch {
  readonly members: PendingCommit[] = [];
  readonly #footprints = new Footprints();
  #largest = 0;
  #bytes = 0;

  /** Whether a transaction has to do with one of those in here, and must not be applied together with it. */
  conflicts({ footprint }: PendingCommit): boolean {
    return this.#footprints.conflict(footprint);
  }

  hasRoomFor(member: PendingCommit, limits: BatchLimits): boolean {
    const [first] = this.members;
    if (!first) return true;
    const { footprint } = member;
    const largest = Math.max(this.#largest, footprint.operations);
    return (
      this.members.length < limits.size &&
      this.members.length + 1 + largest <= limits.operations &&
      this.#bytes + footprint.bytes <= limits.bytes &&
      !(limits.bySpace && footprint.puts !== first.footprint.puts) &&
      !first.isUnmarkable &&
      !member.isUnmarkable
    );
  }

  add(member: PendingCommit): void {
    const { footprint } = member;
    this.members.push(member);
    this.#footprints.add(footprint);
    this.#largest = Math.max(this.#largest, footprint.operations);
    this.#bytes += footprint.bytes;
  }
}

/**
 * Divides transactions into as few batches as their order allows: those in conflict are in different ones, first come
 * first.
 */
export function inBatches(members: readonly PendingCommit[], limits: BatchLimits): Batch[] {
  const batches: Batch[] = [];
  for (const member of members) {
    const after = batches.findLastIndex((batch) => batch.conflicts(member));
    const rest = batches.slice(after + 1);
    let batch = rest.find((each) => each.hasRoomFor(member, limits));
    if (!batch) {
      batch = new Batch();
      batches.push(batch);
    }
    batch.add(member);
  }
  return batches;
}
