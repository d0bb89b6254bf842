import { fieldsIn } from '../core/line/ticket.js';
import type { KeyValue, OperationReply, Txn } from '../core/store/store.js';
import type { Item } from './agenda.js';
import type { Deadline } from './deadlines.js';
import { asSeen, type Tools } from './desk.js';
import { DueMarks } from './due-marks.js';
import { decodeRecord } from './job-record.js';
import { type Expiry, expired, type Found, nameOf, untold } from './passage.js';
import { barsOf } from './queue-keys.js';

/** So many at a time, as three reads are needed for each, and etcd takes 128. */
const together = 40;
/** And so many bytes, about: a job may have more by now than when it was put, as it tells of its failures. */
const bytesTogether = 1_000_000;
/** Milliseconds after which one is looked at again. */
const again = 1_000;

/** What is due, and what was read of it: its key, the job, and what keeps others from that. */
interface Read {
  readonly item: Item;
  readonly replies: readonly OperationReply[];
}

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
    const found = items.map((item, i) => ({ item, replies: replies.slice(3 * i, 3 * i + 3) }));
    for (const part of ofBytes(found)) await this.#dropSome(part);
  }

  async #dropSome(found: readonly Read[]): Promise<void> {
    const untoldOf: string[] = [];
    const steps = found.flatMap((each) => this.#stepFor(each, untoldOf) ?? []);
    if (untoldOf.length > 0)
      steps.push({ success: [untold(this.tools.keys, untoldOf, 'dead', 'expired')] });
    await this.desk.write(steps);
  }

  /** Drops one, unless it is worked on. Adds its name to `untoldOf` if nothing is left that tells of it. */
  #stepFor({ item, replies }: Read, untoldOf: string[]): Txn | undefined {
    const [mark, record, bars] = replies;
    const [kv] = record?.kvs ?? [];
    const expiry = mark?.kvs[0];
    if (expiry?.modRevision !== item.modified) return undefined;
    if (!kv) return { compare: [asSeen(item)], success: [{ delete: { key: item.key } }] };
    const { keys } = this.tools;
    const key = this.recordOf(item);
    const found = foundIn(key, kv);
    // What is not ours stays where it is.
    if (!found) return undefined;
    const isFree = bars?.kvs.length === 0;
    const { ttl = 0 } = fieldsIn(expiry.value) as Partial<Expiry>;
    // It may be claimed before this is done. When it is dropped, this is told of, too.
    this.deadlines.retry(item, isFree ? again : ttl);
    if (!isFree) return undefined;
    const compare = [
      asSeen({ key, modified: kv.modRevision }),
      { ...barsOf(key), target: 'create', to: 0n } as const,
    ];
    if (found.record.header.onExpiry === 'delete') untoldOf.push(nameOf(keys, found));
    return { compare, success: expired(keys, found) };
  }
}

function foundIn(key: string, { value }: KeyValue): Found | undefined {
  try {
    return { key, record: decodeRecord(key, value) };
  } catch {
    return undefined;
  }
}

function* ofBytes(all: readonly Read[]): Generator<readonly Read[]> {
  let part: Read[] = [];
  let bytes = 0;
  for (const each of all) {
    const more = each.replies[1]?.kvs[0]?.value.length ?? 0;
    if (part.length > 0 && bytes + more > bytesTogether) {
      yield part;
      [part, bytes] = [[], 0];
    }
    part.push(each);
    bytes += more;
  }
  yield part;
}
