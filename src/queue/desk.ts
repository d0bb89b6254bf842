import type { Session } from '../core/session/session.js';
import type { KeyValue, Operation, RangeRequest, Txn, TxnReply } from '../core/store/store.js';
import { persist } from '../core/time/persist.js';
import type { Item } from './agenda.js';
import type { KeeperHold } from './keeper-hold.js';
import type { Outbox } from './outbox.js';
import type { QueueKeys } from './queue-keys.js';
import type { QueueTime } from './queue-time.js';

/** A part of what a keeper does, on behalf of keys with one prefix. */
export interface Duty {
  /** What those keys begin with. */
  readonly folder: string;
  /** A key is there, or was changed. */
  put(key: string, kv: KeyValue): void;
  /** A key is there no more. */
  delete(key: string): void;
  /** Milliseconds until there is something to do. */
  left(): number;
  /** Does some of what is to be done now. What others changed meanwhile is left as it is: it is told of by then. */
  work(): Promise<void>;
}

/** What the keeper of a queue works with, for as long as it is the keeper. */
export interface Tools {
  readonly session: Session;
  readonly keys: QueueKeys;
  readonly hold: KeeperHold;
  readonly time: QueueTime;
  readonly outbox: Outbox;
  /** Aborts when it is the keeper no more, or is to stop. */
  readonly signal: AbortSignal;
}

/** Reads and writes of the keeper, through outages. */
export class Desk {
  readonly #tools: Pick<Tools, 'session' | 'hold' | 'outbox' | 'signal'>;

  constructor(tools: Pick<Tools, 'session' | 'hold' | 'outbox' | 'signal'>) {
    this.#tools = tools;
  }

  /** Reads these at one revision. @throws as `write`. */
  async read(requests: readonly RangeRequest[]): Promise<TxnReply> {
    const { session, outbox, signal } = this.#tools;
    const success = requests.map((range) => ({ range }));
    const reply = await persist(
      (limit) => session.store.commit({ success }, limit),
      signal,
      session.clock,
    );
    // What is put from here on may be named after it.
    outbox.saw(reply.revision);
    return reply;
  }

  /** Does each of these once if its conditions hold. @throws HoldLostError, RefusedError; the reason of the keeper's signal. */
  async write(steps: readonly Txn[]): Promise<void> {
    const { session, hold, signal } = this.#tools;
    if (steps.length > 0) await hold.apply(steps, signal, session.clock);
  }

  /** Does with keys, if there are any, what `stepsFor` says: on condition that they are as they were when it was decided. @throws as `write`. */
  async change(
    items: readonly Item[],
    stepsFor: (kv: KeyValue, item: Item) => readonly Operation[],
    also: readonly Txn[] = [],
  ): Promise<void> {
    if (items.length === 0) return;
    const { replies } = await this.read(items.map(({ key }) => ({ key })));
    const steps = items.flatMap((item, i): Txn[] => {
      const kv = replies[i]?.kvs[0];
      if (kv?.modRevision !== item.modified) return [];
      return [{ compare: [asSeen(item)], success: stepsFor(kv, item) }];
    });
    await this.write([...steps, ...also]);
  }
}

/** That a key is as it was. */
export function asSeen({ key, modified }: Pick<Item, 'key' | 'modified'>): {
  key: string;
  target: 'mod';
  to: bigint;
} {
  return { key, target: 'mod', to: modified };
}
