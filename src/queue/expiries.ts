import { fieldsIn } from '../core/line/ticket.js';
import type { KeyValue, OperationReply, Txn } from '../core/store/store.js';
import type { Item } from './agenda.js';
import type { Deadline } from './deadlines.js';
import { asSeen, type Tools } from './desk.js';
import { DueMarks } from './due-marks.js';
import { decodeRecord } from './job-record.js';
import { type Expiry, expired, nameOf, untold } from './passage.js';
import { barsOf } from './queue-keys.js';

/** So many at a time, as three reads are needed for each, and etcd takes 128. */
const together = 40;
/** Milliseconds after which one is looked at again. */
const again = 1_000;

/** Drops jobs that have waited for too long. */
export class Expiries extends DueMarks {
  constructor(tools: Tools) {
    super(tools, tools.keys.expires);
  }

  protected override deadlineIn({ value }: KeyValue): Omit<Deadline, 'modified'> {
    const { ttl: after = 0, due, bytes = 0 } = fieldsIn(value) as Partial<Expiry>;
    return { due, after, bytes };
  }

  protected override async act(): Promise<void> {
    await this.#drop(await this.deadlines.take(together));
  }

  async #drop(items: readonly Item[]): Promise<void> {
    if (items.length === 0) return;
    const { replies } = await this.desk.read(
      items.flatMap((item) => {
        const key = this.recordOf(item);
        return [{ key: item.key }, { key }, { ...barsOf(key), keysOnly: true, limit: 1 }];
      }),
    );
    const untoldOf: string[] = [];
    const steps = items.flatMap(
      (item, i) => this.#stepFor(item, replies.slice(3 * i, 3 * i + 3), untoldOf) ?? [],
    );
    if (untoldOf.length > 0)
      steps.push({ success: [untold(this.tools.keys, untoldOf, 'dead', 'expired')] });
    await this.desk.write(steps);
  }

  /** Drops one, unless it is worked on. Adds its name to `untoldOf` if nothing is left that tells of it. */
  #stepFor(
    item: Item,
    [mark, record, bars]: readonly OperationReply[],
    untoldOf: string[],
  ): Txn | undefined {
    const [kv] = record?.kvs ?? [];
    const expiry = mark?.kvs[0];
    if (expiry?.modRevision !== item.modified) return undefined;
    if (!kv) return { compare: [asSeen(item)], success: [{ delete: { key: item.key } }] };
    const { keys } = this.tools;
    const isFree = bars?.kvs.length === 0;
    const { ttl = 0 } = fieldsIn(expiry.value) as Partial<Expiry>;
    // It may be claimed before this is done. When it is dropped, this is told of, too.
    this.deadlines.retry(item, isFree ? again : ttl);
    if (!isFree) return undefined;
    const key = this.recordOf(item);
    const compare = [
      asSeen({ key, modified: kv.modRevision }),
      { ...barsOf(key), target: 'create', to: 0n } as const,
    ];
    const found = { key, record: decodeRecord(key, kv.value) };
    if (found.record.header.onExpiry === 'delete') untoldOf.push(nameOf(keys, found));
    return { compare, success: expired(keys, found) };
  }
}
