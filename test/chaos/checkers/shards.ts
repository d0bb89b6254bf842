import type { Change, Entry } from '../history.js';
import { Checker } from './checker.js';
import { markIn } from './line.js';

const FOLDER = 'partitioner/shards/';
const LINE = /^partitioner\/shards\/shards\/(\d+)\//;
const MARK = /^mark\/(shard (\d+))\//;

/** By shard, the ID of who is to own it; nothing where nobody was. */
type Owners = readonly (string | undefined)[];

/**
 * In the order of etcd: what is written under the guard of a shard has an effect only while its token is the oldest in the shard's
 * line; tokens of owners grow; whatever was decided is balanced, and moves no more than that takes.
 */
export class Shards extends Checker {
  readonly name = 'shards';
  /** Of each shard the keys in its line, with their create revisions. */
  readonly #lines = new Map<number, Map<string, number>>();
  readonly #highest = new Map<number, number>();
  #owners: Owners = [];

  see(entry: Entry): void {
    const { f, e } = entry;
    if (f === 'log') for (const change of entry.changes ?? []) this.#logged(change, entry);
    else if (f === 'forced') this.count('taken away');
    else if (f === 'settle' && e === 'ok') this.count('settled in the end');
  }

  #logged(change: Change, entry: Entry): void {
    const [, type, key, value, , create] = change;
    const [, shard] = LINE.exec(key) ?? [];
    const [, lock, marked] = MARK.exec(key) ?? [];
    if (shard !== undefined) {
      const line = this.#lineOf(Number(shard));
      if (type === 'put') line.set(key, create);
      else line.delete(key);
    } else if (lock !== undefined) this.#marked(Number(marked), lock, change, entry);
    else if (key === `${FOLDER}assignment` && type === 'put') this.#assigned(value, entry.t);
  }

  #marked(shard: number, lock: string, change: Change, entry: Entry): void {
    const mark = markIn(lock, change, entry);
    if (!mark) return;
    const { token, revision, by, t } = mark;
    this.count('marks');
    const owner = Math.min(...this.#lineOf(shard).values());
    if (token !== owner) {
      const what = `${by} made a mark in ${lock} with token ${token} at ${revision}`;
      this.violation(t, `${what}, when it was that of token ${owner}`);
    }
    const highest = this.#highest.get(shard) ?? 0;
    if (token < highest) this.violation(t, `${lock} had token ${token} after token ${highest}`);
    if (token > highest) this.count('owners');
    this.#highest.set(shard, Math.max(token, highest));
  }

  #assigned(value: string, t: number): void {
    const { shards, members, owners } = JSON.parse(value) as {
      readonly shards: number;
      readonly members: readonly string[];
      readonly owners: readonly number[];
    };
    const before = this.#owners;
    this.#owners = owners.map((i) => members[i]);
    if (members.length === 0) return;
    this.count('assignments');
    const numberOf = (all: Owners, id: string): number => all.filter((each) => each === id).length;
    const numbers = members.map((id) => numberOf(this.#owners, id));
    if (this.#owners.includes(undefined) || Math.max(...numbers) - Math.min(...numbers) > 1) {
      this.violation(t, `shards are not divided evenly: ${numbers.join()}`);
    }
    const least = Math.floor(shards / members.length);
    const had = members.map((id) => numberOf(before, id));
    const more = had.filter((number) => number > least).length;
    const kept = had.reduce((sum, number) => sum + Math.min(number, least), 0);
    const must = shards - kept - Math.min(shards % members.length, more);
    const moved = this.#owners.filter((id, shard) => id !== before[shard]).length;
    this.count('moves', moved);
    if (moved > must) this.violation(t, `${moved} shards were moved, where ${must} must be`);
  }

  #lineOf(shard: number): Map<string, number> {
    const line = this.#lines.get(shard) ?? new Map<string, number>();
    this.#lines.set(shard, line);
    return line;
  }
}
