import type { KeyValue, PutRequest } from '../core/store/store.js';
import { Agenda, type Item } from './agenda.js';
import type { Desk } from './desk.js';
import type { QueueTime } from './queue-time.js';

/** What lasts so many milliseconds begins anew with another keeper; of what lasts longer it is written when it ends. */
const brief = 2_000;

/** When something is to be done with a key, by the time of the queue. */
export interface Deadline extends Pick<Item, 'modified' | 'bytes'> {
  /** As it is written; `undefined` where it is not yet. */
  readonly due: number | undefined;
  /** Milliseconds from now, where it is not written. */
  readonly after: number;
}

/** What is to be done when, by the time of the queue: written down where that is long after it was first seen. */
export class Deadlines {
  readonly #time: QueueTime;
  readonly #desk: Desk;
  readonly #agenda = new Agenda();
  /** Of which it is not written yet when they are due. */
  readonly #unwritten = new Agenda();

  constructor(time: QueueTime, desk: Desk) {
    this.#time = time;
    this.#desk = desk;
  }

  set(key: string, { due, after, modified, bytes }: Deadline): void {
    this.delete(key);
    const item = { at: due ?? this.#time.now() + after, modified, bytes };
    this.#agenda.set(key, item);
    if (due === undefined && after > brief) this.#unwritten.set(key, item);
  }

  /** Looks at one again that was taken out, so many milliseconds from now. */
  retry(item: Item, after: number): void {
    this.#agenda.set(item.key, { ...item, at: this.#time.now() + after });
  }

  delete(key: string): void {
    this.#agenda.delete(key);
    this.#unwritten.delete(key);
  }

  /** Milliseconds until there is something to do: what is due, or to be written. */
  left(): number {
    if (this.#unwritten.size > 0) return 0;
    const rewrite = this.#agenda.size > 0 ? this.#time.left() : Number.POSITIVE_INFINITY;
    return Math.min(this.#agenda.next - this.#time.now(), rewrite);
  }

  /** Takes out what is due, in its order; first it is written what time it is, where that is needed. @throws as `Desk.write`. */
  async take(most?: number): Promise<Item[]> {
    if (this.#agenda.size > 0 && this.#time.left() <= 0) {
      await this.#desk.write([this.#time.written()]);
    }
    const items = this.#agenda.take(this.#time.now(), most);
    for (const { key } of items) this.#unwritten.delete(key);
    return items;
  }

  /** Writes down when those are due of which it is not written: `valueFor` gives what a key is to have. @throws as `Desk.write`. */
  async write(valueFor: (kv: KeyValue, due: number) => PutRequest['value']): Promise<void> {
    await this.#desk.change(
      this.#unwritten.take(Number.POSITIVE_INFINITY),
      (kv, { key, at }) => [{ put: { key, value: valueFor(kv, Math.ceil(at)) } }],
      [this.#time.written()],
    );
  }
}
