import {
  type Data,
  type RangeReply,
  type Store,
  UnavailableError,
  type WatchEvent,
  type WatchListener,
} from '../../src/index.js';
import { override } from '../support/override.js';
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
  'leak-lease': 'a lease is left behind',
  hang: 'now and then a call never settles',
  unhandled: 'now and then a rejection goes unhandled',
} as const;

export type Defect = keyof typeof defects;

/** A store with a defect. */
export function defective(store: Store, defect: Defect | undefined, random: Random): Store {
  switch (defect) {
    case 'retry-unknown':
      return override(store, {
        async commit(txn, options) {
          for (;;) {
            try {
              return await store.commit(txn, options);
            } catch (error) {
              const unknown = error instanceof UnavailableError && error.outcome === 'unknown';
              if (!options?.exactlyOnce || !unknown) throw error;
            }
          }
        },
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
