import type { KeyValue, Operation } from '../core/store/store.js';
import { Ticks } from '../core/time/ticks.js';
import { Agenda } from './agenda.js';
import { Desk, type Duty, type Tools } from './desk.js';
import { entering, headerOf } from './passage.js';
import { labelOf } from './queue-keys.js';
import {
  decodeRepeat,
  encodeRepeat,
  type RepeatProgress,
  type RepeatRecord,
} from './repeat-record.js';

/** For so many ticks jobs are put together, and so many bytes, about. */
const together = 50;
const bytesTogether = 1_000_000;

/** Puts the jobs that are put again and again: that of a tick in one step with the record of the tick. */
export class Repeats implements Duty {
  readonly folder: string;
  readonly #tools: Tools;
  readonly #desk: Desk;
  /** By the wall clock. */
  readonly #agenda = new Agenda();
  /** Those whose next tick had come before it was waited for. */
  readonly #late = new Set<string>();

  constructor(tools: Tools) {
    this.#tools = tools;
    this.#desk = new Desk(tools);
    this.folder = tools.keys.repeats;
  }

  put(key: string, kv: KeyValue): void {
    const { spec, progress } = decodeRepeat(kv);
    const { isNew = false, after = 0 } = progress;
    const at = isNew ? 0 : ticksOf(spec).after(after);
    this.delete(key);
    if (at <= this.#tools.session.clock.wall()) this.#late.add(key);
    this.#agenda.set(key, { at, modified: kv.modRevision, bytes: kv.value.length });
  }

  delete(key: string): void {
    this.#agenda.delete(key);
    this.#late.delete(key);
  }

  left(): number {
    return this.#agenda.next - this.#tools.session.clock.wall();
  }

  async work(): Promise<void> {
    const now = this.#tools.session.clock.wall();
    const items = this.#agenda.take(now, 1);
    await this.#desk.change(items, (kv, { key }) => {
      const record = decodeRepeat(kv);
      const { progress, ticks } = this.#step(key, record, now);
      const value = encodeRepeat(record.spec, progress, record.value);
      const jobs = ticks.flatMap((tick) => this.#job(key, record, tick));
      return [{ put: { key, value } }, ...jobs];
    });
  }

  /** The next ticks for which jobs are to be put, and what is to be written of it. */
  #step(
    key: string,
    { spec, progress, value }: RepeatRecord,
    now: number,
  ): { progress: RepeatProgress; ticks: number[] } {
    const { isNew, ...before } = progress;
    const { after = 0 } = before;
    if (isNew) return { progress: { ...before, after: Math.max(now, after) }, ticks: [] };
    const all = ticksOf(spec);
    const caught = { skip: this.#late.has(key) ? 0 : 1, last: 1, all: spec.catchUpLimit };
    let next = all.firstOfLast(caught[spec.catchUp], after, now);
    if (next === undefined) return { progress: { ...before, after: now }, ticks: [] };
    const ticks: number[] = [];
    // The record is written, too.
    const most = Math.max(
      1,
      Math.min(together, Math.floor(bytesTogether / (value.length + 1)) - 1),
    );
    for (; next <= now && ticks.length < most; next = all.after(next)) ticks.push(next);
    const last = ticks.at(-1) as number;
    return { progress: { after: last, last }, ticks };
  }

  #job(key: string, { spec, value }: RepeatRecord, tick: number): Operation[] {
    const { keys, outbox, session } = this.#tools;
    const { priority = 5, orderKey, group } = spec.job;
    const name = outbox.newId({ priority, label: labelOf(orderKey, group) });
    const repeat = { key: key.slice(this.folder.length), tick };
    const header = { ...headerOf(spec.job, session.clock.wall()), repeat };
    return entering(keys, name, name, { header, value });
  }
}

function ticksOf({ cron, timeZone }: RepeatRecord['spec']): Ticks {
  return new Ticks(cron, timeZone);
}
