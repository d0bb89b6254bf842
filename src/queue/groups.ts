import type { Ready } from './ready.js';

/** A place in a group, for one job that is worked on. */
export interface Slot {
  readonly group: string;
  readonly index: number;
  /** Where whoever has it keeps a key. */
  readonly folder: string;
}

/** What stands for the key of a slot that we are about to take. */
const ours = 'ours';

/**
 * Of which groups another job may be worked on, as far as that is known: a group has so many slots, and each of its jobs that is
 * worked on has one. That a slot is free is for the claim to prove; this spares those in vain.
 */
export class Groups {
  readonly #folder: string;
  readonly #limit: number;
  /** Keys in the slots that are taken, by group and number. */
  readonly #taken = new Map<string, Map<number, string>>();
  /** Jobs that could not be claimed, until there is news of their groups. */
  readonly #refused = new Map<string, Set<Ready>>();
  /** Changes with all that is heard. */
  news = 0;
  /** Those of them whose groups there was news of. */
  #heardOf: Ready[] = [];

  /** @param limit - how many jobs of one group may be worked on at a time */
  constructor(folder: string, limit: number) {
    this.#folder = folder;
    this.#limit = limit;
  }

  /** Whether its group has room for it. */
  hasRoom({ group }: Ready): boolean {
    if (group === undefined) return true;
    return (this.#taken.get(group)?.size ?? 0) < this.#limit;
  }

  /** A free slot for a job, which is ours until it is let go; none where there is no limit. */
  take({ group }: Ready): Slot | undefined {
    if (group === undefined || this.#limit === Infinity) return undefined;
    const taken = this.#taken.get(group) ?? new Map<number, string>();
    this.#taken.set(group, taken);
    // Others are after the same: not all of them begin with the first.
    let index = Math.floor(Math.random() * this.#limit);
    while (taken.has(index)) index = (index + 1) % this.#limit;
    taken.set(index, ours);
    return { group, index, folder: `${this.#folder}${group}/${index}/` };
  }

  /** We did not get it, or have it no more, with our key. */
  letGo({ group, index }: Slot, key: string = ours): void {
    const now = this.#taken.get(group)?.get(index);
    if (now === ours || now === key) this.#free(group, index);
  }

  /** All that was known of others is read anew. */
  reset(): void {
    for (const [group, taken] of this.#taken) {
      for (const [index, key] of taken) if (key !== ours) this.#free(group, index);
    }
  }

  /** A key of a slot was put or deleted. */
  heard(key: string, isThere: boolean): void {
    this.news += 1;
    const [group = '', number] = key.slice(this.#folder.length).split('/');
    const index = Number(number);
    const taken = this.#taken.get(group) ?? new Map<number, string>();
    if (isThere && index < this.#limit) {
      this.#taken.set(group, taken.set(index, key));
    } else if (taken.get(index) === key) {
      this.#free(group, index);
    }
    this.#heardOf.push(...(this.#refused.get(group) ?? []));
    this.#refused.delete(group);
  }

  /** It could not be claimed: perhaps because its slot was taken. */
  refused(job: Ready): void {
    if (job.group === undefined || this.#limit === Infinity) return;
    const refused = this.#refused.get(job.group) ?? new Set();
    this.#refused.set(job.group, refused.add(job));
  }

  /** Jobs that could not be claimed, and may be tried again: tells of each once. */
  heardOf(): Iterable<Ready> {
    const jobs = this.#heardOf;
    this.#heardOf = [];
    return jobs;
  }

  #free(group: string, index: number): void {
    const taken = this.#taken.get(group);
    taken?.delete(index);
    if (taken?.size === 0) this.#taken.delete(group);
  }
}
