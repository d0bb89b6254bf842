import { clearScreenDown, cursorTo, moveCursor } from 'node:readline';
import { widthOf } from './format.js';

const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';

/** A terminal with lines that scroll by, and a panel below them that is drawn over and over. */
export class Screen {
  readonly #out: NodeJS.WriteStream;
  #panel: readonly string[] = [];
  #drawn = 0;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#out.write(HIDE_CURSOR);
  }

  /** How many columns there are. */
  get columns(): number {
    return this.#out.columns || 80;
  }

  /** Adds a line that stays. */
  print(line: string): void {
    this.#update(() => this.#out.write(`${line}\n`));
  }

  /** Shows other lines in the panel. */
  draw(panel: readonly string[]): void {
    this.#panel = panel;
    this.#update(() => {});
  }

  /** Takes the panel away and gives the cursor back. */
  close(): void {
    this.draw([]);
    this.#out.write(SHOW_CURSOR);
  }

  #update(print: () => void): void {
    // One write for everything: nothing flickers.
    this.#out.cork();
    if (this.#drawn > 0) {
      moveCursor(this.#out, 0, -this.#drawn);
      cursorTo(this.#out, 0);
      clearScreenDown(this.#out);
    }
    print();
    // A line that wraps would take two rows, and we would lose count.
    const fitting = this.#panel.filter((line) => widthOf(line) < this.columns);
    for (const line of fitting) this.#out.write(`${line}\n`);
    this.#drawn = fitting.length;
    this.#out.uncork();
  }
}
