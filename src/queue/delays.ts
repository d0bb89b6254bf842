import type { KeyValue } from '../core/store/store.js';
import { Agenda, type Item } from './agenda.js';
import { Deadlines } from './deadlines.js';
import { Desk, type Duty, type Tools } from './desk.js';
import { decodeRecord, encodeRecord } from './job-record.js';
import { entering } from './passage.js';
import { namedAs } from './queue-keys.js';

/** Brings back jobs that were put for later. */
export class Delays implements Duty {
  readonly folder: string;
  readonly #tools: Tools;
  readonly #desk: Desk;
  /** Jobs by the time of the queue. */
  readonly #timed: Deadlines;
  /** Jobs by the wall clock. */
  readonly #dated = new Agenda();

  constructor(tools: Tools) {
    this.#tools = tools;
    this.#desk = new Desk(tools);
    this.#timed = new Deadlines(tools.time, this.#desk);
    this.folder = tools.keys.delayed;
  }

  put(key: string, { modRevision: modified, value }: KeyValue): void {
    const { delay: after = 0, due, notBefore } = decodeRecord(key, value).header;
    this.delete(key);
    const bytes = value.length;
    if (notBefore !== undefined) this.#dated.set(key, { at: notBefore, modified, bytes });
    else this.#timed.set(key, { due, after, modified, bytes });
  }

  delete(key: string): void {
    this.#timed.delete(key);
    this.#dated.delete(key);
  }

  left(): number {
    return Math.min(this.#timed.left(), this.#dated.next - this.#tools.session.clock.wall());
  }

  async work(): Promise<void> {
    await this.#bring(await this.#timed.take());
    await this.#bring(this.#dated.take(this.#tools.session.clock.wall()));
    await this.#timed.write(({ key, value }, due) => {
      const { header, value: job } = decodeRecord(key.toString(), value);
      const { delay: _, ...rest } = header;
      return encodeRecord({ ...rest, due }, job);
    });
  }

  /** Brings those back that are due, in that order: each gets a name that puts it behind all that came before. */
  async #bring(items: readonly Item[]): Promise<void> {
    const { keys, outbox } = this.#tools;
    await this.#desk.change(items, ({ value }, { key }) => {
      const id = key.slice(this.folder.length);
      const name = outbox.newId(namedAs(id));
      return [{ delete: { key } }, ...entering(keys, id, name, decodeRecord(key, value))];
    });
  }
}
