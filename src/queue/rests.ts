import { fieldsIn } from '../core/line/ticket.js';
import type { KeyValue } from '../core/store/store.js';
import type { Deadline } from './deadlines.js';
import type { Tools } from './desk.js';
import { DueMarks } from './due-marks.js';
import { restOf } from './queue-keys.js';
import type { Rest } from './steps.js';

/** Has jobs go on that rest in their place. */
export class Rests extends DueMarks {
  constructor(tools: Tools) {
    super(tools, tools.keys.rests);
  }

  protected override deadlineIn({ value }: KeyValue): Omit<Deadline, 'modified'> {
    const { delay: after = 0, due } = fieldsIn(value) as Partial<Rest>;
    return { due, after, bytes: value.length };
  }

  protected override async act(): Promise<void> {
    await this.desk.change(await this.deadlines.take(), (_, item) => [
      { delete: { key: item.key } },
      { delete: { key: restOf(this.recordOf(item)) } },
    ]);
  }
}
