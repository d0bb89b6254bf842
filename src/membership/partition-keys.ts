import { folderOf, type KeyRange, prefixEnd, prefixRange } from '../core/store/keys.js';
import { type Assignment, assignmentIn } from './assignment.js';
import { type FieldsEntry, type Member, membersOf } from './member.js';

/** What a member of a partitioner says of itself. */
export interface ShareOf {
  readonly weight: number;
}

/** Where a partitioner has its keys. */
export class PartitionKeys {
  /** Of all of them. */
  readonly range: KeyRange;
  /** Of what says who is to own what: who is there, and what is decided. */
  readonly plan: KeyRange;
  /** Where members have their folders. */
  readonly members: string;
  /** What is decided. */
  readonly assignment: string;
  readonly #shards: string;

  constructor(name: string) {
    const folder = folderOf('partitioner', name);
    this.range = prefixRange(folder);
    this.members = `${folder}members/`;
    this.assignment = `${folder}assignment`;
    this.plan = { key: this.assignment, end: prefixEnd(this.members) };
    this.#shards = `${folder}shards/`;
  }

  /** Where who owns a shard, and who waits for it, stand in line. */
  lineOf(shard: number): string {
    return `${this.#shards}${shard}/`;
  }

  membersIn(entries: readonly FieldsEntry[]): Member<ShareOf>[] {
    return membersOf(
      this.members,
      entries.filter(({ key }) => key.startsWith(this.members)),
    );
  }

  /** Whether anything is stored as what is decided, also what nobody could read. */
  hasAssignment(entries: readonly FieldsEntry[]): boolean {
    return entries.some(({ key }) => key === this.assignment);
  }

  /** What is decided; `undefined` where that is nothing, or cannot be read. */
  assignmentIn(entries: readonly FieldsEntry[]): Assignment | undefined {
    const entry = entries.find(({ key }) => key === this.assignment);
    return entry && assignmentIn(entry.value, entry.modRevision);
  }

  /** The number of the shard in whose line a key is; `undefined` for others. */
  shardOf(key: string): number | undefined {
    if (!key.startsWith(this.#shards)) return undefined;
    const shard = Number.parseInt(key.slice(this.#shards.length), 10);
    return key.startsWith(this.lineOf(shard)) ? shard : undefined;
  }
}
