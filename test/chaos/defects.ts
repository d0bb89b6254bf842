import {
  type Data,
  type KeyValue,
  type OperationReply,
  type RangeReply,
  type Store,
  type Txn,
  UnavailableError,
  type WatchEvent,
  type WatchListener,
} from '../../src/index.js';
import { override } from '../support/override.js';
import { BATCHES, isRecord } from './checkers/records.js';
import type { Random } from './random.js';

/** Mistakes that can be made on purpose, with the checker that must notice. */
export const defects = {
  'drop-token': 'the vault is shown the same token always',
  'skip-guard': 'lists are written without asking whether the lock is held',
  'retry-unknown': 'a write without an answer is sent again',
  'stale-read': 'now and then a read gives what it gave before',
  'lose-event': 'now and then a watch leaves an event out',
  'repeat-event': 'now and then a watch tells of an event twice',
  'reorder-events': 'now and then a watch tells the last first',
  'resume-late': 'a watch from a revision begins one change later',
  'keep-after-loss': 'a hold that is lost says that it is held',
  'blind-reader': 'readers do not see writers',
  'miscount-permits': 'now and then somebody who has permits is not seen',
  'unguarded-leader': 'a leader writes without asking whether it leads',
  'short-round': 'a cyclic barrier takes the last party for two',
  'leave-early': 'parties leave a double barrier without waiting for each other',
  'add-twice': 'an addition without an answer is made again',
  'blind-sequence': 'numbers are taken without asking whether others took some',
  'lose-job': 'now and then a job is told to be put that is not',
  'repeat-job': 'the end of a job is written without asking whose it is',
  'blind-owner': 'owners of shards do not see those before them',
  'late-mirror': 'a mirror shows what it had before',
  'leak-lease': 'a lease is left behind',
  hang: 'now and then a call never settles',
  unhandled: 'now and then a rejection goes unhandled',
} as const;

export type Defect = keyof typeof defects;

/** A store with a defect. */
export function defective(store: Store, defect: Defect | undefined, random: Random): Store {
  switch (defect) {
    case 'retry-unknown':
      return retrying(store, (_, options) => options?.exactlyOnce === true);
    case 'add-twice':
      return retrying(sendingOnce(store, 'counter/'), (txn) => puts(txn, 'counter/'));
    case 'blind-sequence':
      return override(store, {
        commit: (txn, options) =>
          store.commit(puts(txn, 'sequence/') ? { success: txn.success ?? [] } : txn, options),
      });
    case 'lose-job':
      return override(store, {
        async commit(txn, options) {
          const queues = ['any', BATCHES].some((name) => puts(txn, `queue/${name}/ready/5-`));
          if (!queues || !random.chance(0.01)) {
            return store.commit(txn, options);
          }
          const { revision } = await store.read({ key: 'queue' });
          const replies = (txn.success ?? []).map(() => ({ kvs: [], count: 0 }));
          return { succeeded: true, revision, replies };
        },
      });
    case 'repeat-job':
      return override(store, {
        async commit(txn, options) {
          const reply = await store.commit(txn, options);
          if (reply.succeeded) return reply;
          const { success = [] } = txn;
          const [step] = success;
          if (step && 'txn' in step && puts(step.txn, 'done/')) {
            const done = (step.txn.success ?? []).filter((each) => 'put' in each);
            return store.commit({ success: [{ txn: { success: done } }] }, options);
          }
          const ends = success.some(
            (each) => 'delete' in each && isRecord(each.delete.key.toString()),
          );
          return ends ? store.commit({ success }, options) : reply;
        },
      });
    case 'blind-reader':
      return distorted(store, 'read-write-lock/shared/r/', (kvs) =>
        kvs.filter(({ key }) => !key.toString().startsWith('read-write-lock/shared/w/')),
      );
    case 'miscount-permits':
      return distorted(store, 'semaphore/permits/permits/', (kvs) =>
        kvs.filter(({ key }) => key.includes('/limit/') || random.chance(0.5)),
      );
    case 'blind-owner':
      return distorted(store, 'partitioner/shards/shards/', () => []);
    case 'short-round':
      return distorted(store, 'cyclic-barrier/', (kvs) => {
        const last = kvs.findLast(({ key }) => key.includes('/parties/'));
        if (!last) return kvs;
        const twin = { key: Buffer.concat([last.key, Buffer.from('x')]) };
        return [...kvs, { ...last, ...twin, createRevision: last.createRevision - 1n }];
      });
    case 'stale-read': {
      const seen = new Map<Data, RangeReply>();
      return override(store, {
        async read(range, options) {
          const old = seen.get(range.key);
          const reply = await store.read(range, options);
          seen.set(range.key, reply);
          return old && random.chance(0.05) ? old : reply;
        },
      });
    }
    case 'hang':
      return override(store, {
        read: (range, options) =>
          random.chance(0.001) ? new Promise(() => {}) : store.read(range, options),
      });
    case 'unhandled':
      return override(store, {
        read(range, options) {
          if (random.chance(0.002)) void Promise.reject(new Error('nobody handles this'));
          return store.read(range, options);
        },
      });
    case 'lose-event':
    case 'repeat-event':
    case 'reorder-events':
      return override(store, {
        watch: (range, listener, options) =>
          store.watch(range, spoil(listener, defect, random), options),
      });
    case 'resume-late':
      return override(store, {
        watch: (range, listener, options) => {
          let late = options?.from !== undefined;
          const events = (batch: readonly WatchEvent[]): void => {
            listener.events(late ? batch.slice(1) : batch);
            late = false;
          };
          return store.watch(range, { ...bound(listener), events }, options);
        },
      });
    default:
      return store;
  }
}

/** Sends again what has no answer, where that is no good. */
function retrying(store: Store, wanted: (...args: Parameters<Store['commit']>) => boolean): Store {
  return override(store, {
    async commit(...args) {
      for (;;) {
        try {
          return await store.commit(...args);
        } catch (error) {
          const unknown = error instanceof UnavailableError && error.outcome === 'unknown';
          if (!unknown || !wanted(...args)) throw error;
        }
      }
    },
  });
}

/** Sends once what puts a key under `prefix`, whatever becomes of the answer. */
function sendingOnce(store: Store, prefix: string): Store {
  return override(store, {
    commit: (txn, options) =>
      store.commit(txn, puts(txn, prefix) ? { ...options, exactlyOnce: false } : options),
  });
}

/** Has who puts a key under `prefix` see something else than there is. */
function distorted(
  store: Store,
  prefix: string,
  change: (kvs: readonly KeyValue[]) => readonly KeyValue[],
): Store {
  const distort = ({ kvs, ...rest }: OperationReply): OperationReply => ({
    ...rest,
    kvs: change(kvs),
  });
  return override(store, {
    async commit(txn, options) {
      const reply = await store.commit(txn, options);
      if (!puts(txn, prefix)) return reply;
      return { ...reply, replies: reply.replies.map(distort) };
    },
  });
}

function puts({ success = [] }: Txn, prefix: string): boolean {
  return success.some((step) => 'put' in step && step.put.key.toString().startsWith(prefix));
}

function bound(listener: WatchListener): WatchListener {
  return {
    events: (events) => listener.events(events),
    gap: (revision) => listener.gap(revision),
    closed: (error) => listener.closed(error),
  };
}

function spoil(listener: WatchListener, defect: Defect, random: Random): WatchListener {
  const events = (batch: readonly WatchEvent[]): void => {
    if (!random.chance(0.02)) listener.events(batch);
    else if (defect === 'repeat-event') {
      listener.events(batch);
      listener.events(batch.slice(-1));
    } else if (defect === 'reorder-events') listener.events(batch.toReversed());
    else listener.events(batch.slice(1));
  };
  return { ...bound(listener), events };
}
