const LIMIT = 256 * 1024;

/** The last part of a log that never stops growing: 256 KiB of it at most. */
export class LogTail {
  #chunks: string[] = [];
  #size = 0;

  /** Adds what was written; drops the oldest whole chunks when the limit is passed. */
  push(chunk: string): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    while (this.#size > LIMIT && this.#chunks.length > 1) {
      this.#size -= this.#chunks.shift()?.length ?? 0;
    }
  }

  /** What is kept, oldest first. */
  text(): string {
    return this.#chunks.join('');
  }
}
