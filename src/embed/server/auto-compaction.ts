import type { Clock } from '../../core/time/clock.js';
import { longest } from '../../core/validate.js';
import type { EtcdAutoCompaction } from '../shared-options.js';
import type { MvccStore } from './mvcc/store.js';

/** The part of the history that may be kept on top of what is asked for, so that compaction is seldom. */
const SLACK = 0.1;
/** The least number of revisions worth a compaction. */
const FEWEST = 100;

/** Drops old history by itself. */
export interface AutoCompaction {
  /** To be called after each change. */
  changed(): void;
  /** Compacts no more. */
  close(): void;
}

type History = Pick<MvccStore, 'revision' | 'compacted' | 'compact'>;

/** Drops history of `store` as `options` say; without options none is dropped. */
export function autoCompaction(
  options: EtcdAutoCompaction | undefined,
  store: History,
  clock: Clock,
): AutoCompaction {
  switch (options?.mode) {
    case 'revision':
      return byRevisions(options.retention, store);
    case 'periodic':
      return byTime(options.retention, store, clock);
    default:
      return { changed: () => {}, close: () => {} };
  }
}

/**
 * Keeps the newest `retention` revisions, and a tenth more. A compaction copies what it keeps, about ten revisions
 * for each one that it drops: a change costs the same whatever is kept.
 */
function byRevisions(retention: number, store: History): AutoCompaction {
  const most = retention + Math.max(FEWEST, Math.ceil(SLACK * retention));
  let due = false;
  let closed = false;
  return {
    changed() {
      if (due || store.revision - Math.max(0, store.compacted) <= most) return;
      due = true;
      // Those who are told of this very change may still look at what was before it.
      queueMicrotask(() => {
        due = false;
        if (!closed) compactTo(store, store.revision - retention);
      });
    },
    close() {
      closed = true;
    },
  };
}

interface Sample {
  readonly at: number;
  readonly revision: number;
}

/** Keeps what happened in the last `retention` milliseconds, and up to a tenth more: it looks ten times in that time. */
function byTime(retention: number, store: History, clock: Clock): AutoCompaction {
  const interval = Math.min(longest, Math.max(1, SLACK * retention));
  const samples: Sample[] = [];
  const look = (): (() => void) => {
    const now = clock.now();
    samples.push({ at: now, revision: store.revision });
    // Of the samples that are old enough the latest counts; timers may come late.
    const young = samples.findIndex(({ at }) => at > now - retention);
    const old = samples.splice(0, young === -1 ? samples.length : young).at(-1);
    if (old) compactTo(store, old.revision);
    return clock.after(interval, () => {
      stop = look();
    });
  };
  let stop = look();
  return { changed: () => {}, close: () => stop() };
}

/** Somebody may have asked for more already. */
function compactTo(store: History, revision: number): void {
  if (revision > Math.max(0, store.compacted)) store.compact(revision);
}
