/** The names in one folder: the last that was made, how many are in use, and which are free. */
interface Names {
  made: number;
  inUse: number;
  readonly free: string[];
}

/** The names of the keys that hang on one lease. Remembers only folders of which a name is in use. */
export class KeyNames {
  readonly #lease: string;
  readonly #folders = new Map<string, Names>();
  /** The folder of each that is in use. */
  readonly #inUse = new Map<string, string>();
  /** Up to this number names may have been dropped, in whatever folder. */
  #dropped = 0;

  constructor(lease: bigint) {
    this.#lease = lease.toString(16);
  }

  /** How many are in use. */
  get size(): number {
    return this.#inUse.size;
  }

  /** One that nobody else uses. */
  take(folder: string): string {
    const names = this.#folders.get(folder) ?? { made: this.#dropped, inUse: 0, free: [] };
    this.#folders.set(folder, names);
    const key = names.free.pop() ?? `${folder}${this.#lease}-${((names.made += 1)).toString(16)}`;
    names.inUse += 1;
    this.#inUse.set(key, folder);
    return key;
  }

  /** It is out of use, and may be taken again: unless it was dropped. */
  giveBack(key: string): void {
    this.#end(key)?.free.push(key);
  }

  /** It is out of use, and is never taken again. */
  drop(key: string): void {
    const names = this.#end(key);
    if (names) this.#dropped = Math.max(this.#dropped, names.made);
  }

  #end(key: string): Names | undefined {
    const folder = this.#inUse.get(key);
    const names = folder === undefined ? undefined : this.#folders.get(folder);
    if (folder === undefined || !names) return undefined;
    this.#inUse.delete(key);
    names.inUse -= 1;
    if (names.inUse === 0) this.#folders.delete(folder);
    return names;
  }
}
