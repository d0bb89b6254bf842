import { fieldsIn } from '../core/line/ticket.js';
import type { KeyValue } from '../core/store/store.js';
import { Deadlines } from './deadlines.js';
import { Desk, type Duty, type Tools } from './desk.js';
import { restOf } from './queue-keys.js';
import type { Rest } from './steps.js';

/** Has jobs go on that rest in their place. */
export class Rests implements Duty {
  readonly folder: string;
  readonly #tools: Tools;
  readonly #desk: Desk;
  readonly #deadlines: Deadlines;

  constructor(tools: Tools) {
    this.#tools = tools;
    this.#desk = new Desk(tools);
    this.#deadlines = new Deadlines(tools.time, this.#desk);
    this.folder = tools.keys.rests;
  }

  put(key: string, { modRevision: modified, value }: KeyValue): void {
    const { delay: after = 0, due } = fieldsIn(value) as Partial<Rest>;
    this.#deadlines.set(key, { due, after, modified, bytes: value.length });
  }

  delete(key: string): void {
    this.#deadlines.delete(key);
  }

  left(): number {
    return this.#deadlines.left();
  }

  async work(): Promise<void> {
    await this.#desk.change(await this.#deadlines.take(), (_, { key }) => {
      const record = this.#tools.keys.ready + key.slice(this.folder.length);
      return [{ delete: { key } }, { delete: { key: restOf(record) } }];
    });
    await this.#deadlines.write(({ value }, due) => JSON.stringify({ ...fieldsIn(value), due }));
  }
}
