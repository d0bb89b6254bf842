import { refusal } from '../../src/embed/server/errors.js';
import { Kv } from '../../src/embed/server/kv/kv.js';
import { Leases } from '../../src/embed/server/lease/leases.js';
import { MvccStore } from '../../src/embed/server/mvcc/store.js';
import { isDeletion, type Version } from '../../src/embed/server/mvcc/version.js';
import { Writer } from '../../src/embed/server/mvcc/writer.js';
import { WatchStream } from '../../src/embed/server/watch/watch-stream.js';
import { Watcher } from '../../src/embed/server/watch/watcher.js';
import { Watches } from '../../src/embed/server/watch/watches.js';
import type { RequestOp, TxnRequest } from '../../src/embed/server/wire/kv.js';
import type { WatchCreateRequest } from '../../src/embed/server/wire/watch.js';

/** Makes the in-process server wrong until the function returned is called. */
export type Defect = () => () => void;

type Method = (this: never, ...parameters: never[]) => unknown;
type Methods<T> = { [K in keyof T]: T[K] extends Method ? K : never }[keyof T];

/** Replaces a method of all objects of a class by one that knows the original. */
export function patch<T extends object, K extends Methods<T>>(
  { prototype }: { prototype: T },
  name: K,
  wrap: (original: T[K]) => T[K],
): Defect {
  return () => {
    const original = prototype[name];
    prototype[name] = wrap(original);
    return () => {
      prototype[name] = original;
    };
  };
}

/** Has watches made as if something else had been asked for. */
function asIf(change: (create: WatchCreateRequest) => Partial<WatchCreateRequest>): Defect {
  return patch(WatchStream, 'request', (original) => {
    return function request(this: WatchStream, message) {
      const { create } = message;
      original.call(
        this,
        create ? { ...message, create: { ...create, ...change(create) } } : message,
      );
    };
  });
}

/** Tells watches and leases something else of a change. */
function hearing(heard: (changes: readonly Version[]) => readonly Version[]): Defect {
  return patch(Watches, 'publish', (original) => {
    return function publish(this: Watches, changes) {
      original.call(this, heard(changes));
    };
  });
}

/** A mistake somebody might make in each part of the server. */
export const defects: Readonly<Record<string, Defect>> = {
  'sub-revisions in the wrong order': hearing((changes) => changes.toReversed()),
  'a deletion no watch hears of': hearing((changes) => changes.filter((c) => !isDeletion(c))),
  'a compaction that forgets one revision too few': patch(MvccStore, 'compact', (original) => {
    return function compact(this: MvccStore, revision) {
      original.call(this, revision - 1);
    };
  }),
  'a compaction that forgets one revision too many': patch(MvccStore, 'compact', (original) => {
    return function compact(this: MvccStore, revision) {
      original.call(this, Math.min(revision + 1, this.revision));
    };
  }),
  'a version that counts by two': patch(MvccStore, 'newest', (original) => {
    return function newest(this: MvccStore, key) {
      const found = original.call(this, key);
      return found && !isDeletion(found) ? { ...found, version: found.version + 1 } : found;
    };
  }),
  'a generation that goes on after a deletion': patch(MvccStore, 'newest', (original) => {
    return function newest(this: MvccStore, key) {
      const found = original.call(this, key);
      return found && isDeletion(found) && found.previous ? found.previous : found;
    };
  }),
  'prev_kv of a put one version too old': patch(MvccStore, 'get', (original) => {
    return function get(this: MvccStore, key) {
      const found = original.call(this, key);
      return found?.previous && !isDeletion(found.previous) ? found.previous : found;
    };
  }),
  'prev_kv of an event one transaction too old': patch(Watcher, 'offer', (original) => {
    return function offer(this: Watcher, changes, revision) {
      const older = changes.map((change) => ({ ...change, previous: change.previous?.previous }));
      original.call(this, older, revision);
    };
  }),
  'a past read one revision too new': patch(MvccStore, 'readAt', (original) => {
    return function readAt(this: MvccStore, interval, revision) {
      return original.call(this, interval, revision + 1);
    };
  }),
  'a limit off by one': patch(Kv, 'range', (original) => {
    return function range(this: Kv, request) {
      const { limit } = request;
      return original.call(this, { ...request, limit: limit > 0 ? limit + 1 : limit });
    };
  }),
  'a count taken after the limit': patch(Kv, 'range', (original) => {
    return function range(this: Kv, request) {
      const reply = original.call(this, request);
      return request.limit > 0 && !request.countOnly
        ? { ...reply, count: reply.kvs?.length ?? 0 }
        : reply;
    };
  }),
  'a descending order that ascends': patch(Kv, 'range', (original) => {
    return function range(this: Kv, request) {
      return original.call(this, { ...request, sortOrder: Math.min(1, request.sortOrder) });
    };
  }),
  'a transaction refused that deletes a key twice': patch(Kv, 'txn', (original) => {
    return function txn(this: Kv, request) {
      for (const branch of branchesOf(request)) {
        const keys = branch.flatMap(({ deleteRange }) => deleteRange?.key ?? []);
        if (new Set(keys).size < keys.length) throw refusal('duplicateKey');
      }
      return original.call(this, request);
    };
  }),
  'puts of both branches of a nested transaction refused': patch(Kv, 'txn', (original) => {
    return function txn(this: Kv, request) {
      for (const { txn: nested } of request.success) {
        const put = new Set(nested ? putsOf(nested.success) : []);
        if (nested && putsOf(nested.failure).some((key) => put.has(key))) {
          throw refusal('duplicateKey');
        }
      }
      return original.call(this, request);
    };
  }),
  'a comparison that takes greater for at least': patch(Kv, 'txn', (original) => {
    return function txn(this: Kv, request) {
      return original.call(this, orEqual(request));
    };
  }),
  'deleted keys in the wrong order': patch(Writer, 'delete', (original) => {
    return function remove(this: Writer, interval) {
      return original.call(this, interval).toReversed();
    };
  }),
  'a lease that keeps a key which was overwritten': patch(Leases, 'follow', (original) => {
    return function follow(this: Leases, changes) {
      const kept = changes.map((change) =>
        isDeletion(change) ? change : { ...change, previous: undefined },
      );
      original.call(this, kept);
    };
  }),
  'a lease that keeps a key which was deleted': patch(Leases, 'follow', (original) => {
    return function follow(this: Leases, changes) {
      original.call(
        this,
        changes.filter((change) => !isDeletion(change)),
      );
    };
  }),
  'a lease granted as short as it was asked for': patch(Leases, 'grant', (original) => {
    return function grant(this: Leases, ttl, id) {
      return { ...original.call(this, ttl, id), ttl };
    };
  }),
  'a renewal that does not renew': patch(Leases, 'keepAlive', () => {
    return function keepAlive(this: Leases, id) {
      return this.timeToLive(id)?.ttl ?? 0;
    };
  }),
  'a watch that begins one revision late': asIf(({ startRevision }) => ({
    startRevision: startRevision > 0 ? startRevision + 1 : startRevision,
  })),
  'filters the wrong way round': asIf(({ filters }) => ({
    filters: filters.map((filter) => (filter < 2 ? 1 - filter : filter)),
  })),
  'a watch from before all time': asIf(({ startRevision }) => ({
    startRevision: Math.max(0, startRevision),
  })),
  'a watch of one key that watches all after it': asIf(({ rangeEnd }) => ({
    rangeEnd: rangeEnd === '' ? '\0' : rangeEnd,
  })),
  'a watch that never has prev_kv': asIf(() => ({ prevKv: false })),
  'progress told twice': patch(WatchStream, 'request', (original) => {
    return function request(this: WatchStream, message) {
      original.call(this, message);
      if (message.progress) original.call(this, message);
    };
  }),
};

function* branchesOf({ success, failure }: TxnRequest): Generator<readonly RequestOp[]> {
  for (const branch of [success, failure]) {
    yield branch;
    for (const { txn } of branch) if (txn) yield* branchesOf(txn);
  }
}

function putsOf(branch: readonly RequestOp[]): string[] {
  return branch.flatMap(({ put }) => put?.key ?? []);
}

function orEqual(request: TxnRequest): TxnRequest {
  const compare = request.compare.map((one) =>
    one.result === 1 && one.target === 0 ? { ...one, version: one.version - 1 } : one,
  );
  return { ...request, compare };
}
