/** The numbers of one folder: how many there are, and which of them are free. */
interface Numbers {
  made: number;
  readonly free: number[];
}

/** The names of the keys that hang on one lease. */
export class KeyNames {
  readonly #lease: string;
  readonly #folders = new Map<string, Numbers>();
  readonly #inUse = new Set<string>();

  constructor(lease: bigint) {
    this.#lease = lease.toString(16);
  }

  /** How many are in use. */
  get size(): number {
    return this.#inUse.size;
  }

  /** One that nobody else uses. */
  take(folder: string): string {
    const numbers = this.#folders.get(folder) ?? { made: 0, free: [] };
    this.#folders.set(folder, numbers);
    const number = numbers.free.pop() ?? (numbers.made += 1);
    const key = `${folder}${this.#lease}-${number.toString(16)}`;
    this.#inUse.add(key);
    return key;
  }

  /** It is out of use, and may be taken again. */
  giveBack(folder: string, key: string): void {
    this.drop(key);
    const numbers = this.#folders.get(folder);
    numbers?.free.push(Number.parseInt(key.slice(key.lastIndexOf('-') + 1), 16));
    if (numbers?.free.length === numbers?.made) this.#folders.delete(folder);
  }

  /** It is out of use, and is not taken again before it was given back. */
  drop(key: string): void {
    this.#inUse.delete(key);
  }
}
