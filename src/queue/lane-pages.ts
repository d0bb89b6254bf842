import { keyId } from '../core/store/keys.js';
import type { KeyValue, RangeRequest } from '../core/store/store.js';
import { hintOf, startOf } from './queue-keys.js';

/** The most keys that are read at once, to be followed from then on: more than those have that a watch may tell of. */
const most = 20_000;

/** A part of the lane that was asked for. */
interface Part {
  readonly from: string;
  readonly end: string;
  /** The revision that `end` stands for; `undefined` for the end of the lane. */
  readonly to: bigint | undefined;
}

/** What was read of a lane, page by page, and what is to be read next. */
export class LanePages {
  /** Whether there are no jobs beyond those that were read. */
  isComplete = false;
  /** All jobs that were put before this revision are known. */
  bound = 0n;
  readonly #prefix: string;
  readonly #end: string;
  readonly #folder: number;
  readonly #page: number;
  /** Where to read on. */
  #cursor: string;
  /** There was nothing before this key at `#whole`, when last all was read from the beginning on. */
  #floor: string;
  #whole = 0n;
  /** How many revisions a page has, about; `undefined`: all there are. */
  #span: bigint | undefined;
  #asked: Part;

  /**
   * @param prefix - what the records of the lane begin with
   * @param folder - how long the part of that is that comes before the names of jobs
   * @param page - about so many keys are read at once
   */
  constructor(prefix: string, folder: number, page = 1_000) {
    this.#page = page;
    this.#prefix = prefix;
    this.#end = `${prefix.slice(0, -1)}.`;
    this.#folder = folder;
    this.#cursor = prefix;
    this.#floor = prefix;
    this.#asked = this.#lane;
  }

  /** Whether it was read to its end, though perhaps not at one revision. */
  get isThrough(): boolean {
    return this.#cursor >= this.#end;
  }

  /** Whether it was begun to be read, and not to its end. */
  get hasMore(): boolean {
    return this.#cursor > this.#prefix && !this.isThrough;
  }

  /** Whether the last read left out what may have come at the beginning. */
  get isPart(): boolean {
    return this.#asked.from !== this.#prefix;
  }

  /** What was read may be old. */
  forget(): void {
    this.isComplete = false;
    this.bound = 0n;
    this.#cursor = this.#prefix;
  }

  /**
   * What to read: the first page, or on from where what was read ends, or all. What was deleted at the beginning etcd passes
   * over each time, until it is compacted: so `anew` leaves that out while jobs that are known may be claimed.
   */
  next(from: 'anew' | 'first' | 'on' | 'all', isBegun: boolean): RangeRequest {
    const isLeftOut = from === 'anew' && isBegun && this.#floor < this.#end;
    if (from === 'all') this.#asked = this.#lane;
    else if (from === 'on') this.#asked = this.#part(this.#cursor);
    else this.#asked = this.#part(isLeftOut ? this.#floor : this.#prefix);
    const { from: key, end } = this.#asked;
    return { key, end, limit: from === 'all' ? most : this.#page, keysOnly: true };
  }

  /** Takes up what was read, of `count` keys that there are. Gives the part of which all is known by that. */
  took(kvs: readonly KeyValue[], count: number, revision: bigint): { from: string; to: string } {
    const { from, end, to } = this.#asked;
    const isCut = kvs.length < count;
    // No name begins with a revision that is yet to come.
    const isEnd = !isCut && (to === undefined || to > revision);
    // What is beside the last record may not have been read.
    const through = isCut ? this.recordOf(keyId((kvs.at(-1) as KeyValue).key)) : end;
    this.#cursor = isEnd ? this.#end : through;
    if (from === this.#prefix) this.#whole = revision;
    if (from <= this.#floor) this.#floor = kvs[0] ? keyId(kvs[0].key) : this.#cursor;
    const read = isEnd ? revision + 1n : isCut ? this.#hintOf(through) : (to as bigint);
    // What was put since below the floor is not known.
    this.bound = read > this.#whole ? this.#whole + 1n : read;
    this.isComplete = isEnd && this.#whole === revision;
    this.#measure(count, revision);
    return { from, to: through };
  }

  /** The record that a key is beside, or is. */
  recordOf(key: string): string {
    const bang = key.indexOf('!', this.#folder);
    return bang < 0 ? key : key.slice(0, bang);
  }

  get #lane(): Part {
    return { from: this.#prefix, end: this.#end, to: undefined };
  }

  #part(from: string): Part {
    if (this.#span === undefined || from === this.#prefix) return { ...this.#lane, from };
    const to = this.#hintOf(from) + this.#span;
    return { from, end: startOf(this.#prefix, to), to };
  }

  /** etcd counts all that a range has, however few of them it gives. So ranges are made to have few. */
  #measure(count: number, revision: bigint): void {
    const { from, to } = this.#asked;
    const first = from === this.#prefix ? this.#floor : from;
    if (count > 2 * this.#page) {
      const width = (to ?? revision + 1n) - this.#hintOf(first);
      this.#span = max(1n, (width * BigInt(this.#page)) / BigInt(count));
    } else if (count < this.#page / 4 && this.#span !== undefined) {
      this.#span = this.#span * 8n > revision ? undefined : this.#span * 8n;
    }
  }

  #hintOf(key: string): bigint {
    return hintOf(key.slice(this.#folder));
  }
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
