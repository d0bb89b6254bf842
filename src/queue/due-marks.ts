import { fieldsIn } from '../core/line/ticket.js';
import type { KeyValue } from '../core/store/store.js';
import { type Deadline, Deadlines } from './deadlines.js';
import { Desk, type Duty, type Tools } from './desk.js';

/** What is to be done with jobs where they are: for each of them a key, in a folder of its own, says when. */
export abstract class DueMarks implements Duty {
  readonly folder: string;
  protected readonly tools: Tools;
  protected readonly desk: Desk;
  protected readonly deadlines: Deadlines;

  constructor(tools: Tools, folder: string) {
    this.tools = tools;
    this.desk = new Desk(tools);
    this.deadlines = new Deadlines(tools.time, this.desk);
    this.folder = folder;
  }

  put(key: string, kv: KeyValue): void {
    this.deadlines.set(key, { ...this.deadlineIn(kv), modified: kv.modRevision });
  }

  delete(key: string): void {
    this.deadlines.delete(key);
  }

  left(): number {
    return this.deadlines.left();
  }

  async work(): Promise<void> {
    await this.act();
    await this.deadlines.write(({ value }, due) => JSON.stringify({ ...fieldsIn(value), due }));
  }

  /** What such a key says. */
  protected abstract deadlineIn(kv: KeyValue): Omit<Deadline, 'modified'>;

  /** Does what is due. */
  protected abstract act(): Promise<void>;

  /** Of the job that such a key is for. */
  protected recordOf({ key }: { readonly key: string }): string {
    return this.tools.keys.ready + key.slice(this.folder.length);
  }
}
