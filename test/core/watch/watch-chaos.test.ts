import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { prefixRange } from '../../../src/core/store/keys.js';
import { Watching, type WatchingOptions } from '../../../src/core/watch/watching.js';
import type { Operation, Store, Watch, WatchOptions } from '../../../src/index.js';
import { waitFor } from '../../../src/testing/wait-for.js';
import { compact, useEtcd } from '../../support/etcd.js';
import {
  breachesOf,
  type ToldBatch,
  type WatchHistory,
  type Written,
} from '../../support/watch-properties.js';

/** How often connections are cut: a long run has some hundreds. */
const reconnects = Number(process.env['WATCH_RECONNECTS'] ?? 12);
const etcd = useEtcd();

interface Recording {
  readonly watch: { readonly ready: Promise<void>; close(): void };
  readonly batches: ToldBatch[];
  readonly errors: unknown[];
  history(until: bigint): WatchHistory;
}

type Spec = WatchOptions & { readonly previous: boolean };

/** Records what a store tells. */
function listening(store: Store, name: string, prefix: string, options: Spec): Recording {
  const batches: ToldBatch[] = [];
  const errors: unknown[] = [];
  const range = prefixRange(prefix);
  const watch: Watch = store.watch(
    range,
    {
      events: (changes) =>
        batches.push({ revision: changes.at(-1)?.kv.modRevision ?? 0n, changes }),
      gap: (revision) => batches.push({ revision, origin: 'gap', changes: [] }),
      closed: (error) => errors.push(error),
    },
    options,
  );
  let since = 0n;
  const ready = (async () => {
    await watch.ready;
    since = watch.since ?? 0n;
  })();
  const history = (until: bigint): WatchHistory => ({
    name,
    range,
    ...options,
    since,
    batches,
    until,
  });
  return { watch: { ready, close: () => watch.close() }, batches, errors, history };
}

/** Records what a loop is given that takes so many milliseconds for each step. */
function looping(
  store: Store,
  name: string,
  prefix: string,
  options: WatchingOptions & Spec,
  pause = 0,
): Recording {
  const batches: ToldBatch[] = [];
  const errors: unknown[] = [];
  const range = prefixRange(prefix);
  const watch = new Watching(store, range, options);
  let since = 1n;
  const run = async (): Promise<void> => {
    try {
      for await (const batch of watch.revisions()) {
        batches.push(batch);
        if (pause > 0) await delay(pause);
      }
    } catch (error) {
      errors.push(error);
    }
  };
  const ready = (async () => {
    await watch.ready;
    if (!options.initial) since = (watch.revision ?? 0n) + 1n;
    void run();
  })();
  const history = (until: bigint): WatchHistory => ({
    name,
    range,
    ...options,
    since,
    batches,
    until,
  });
  return { watch: { ready, close: () => watch.close() }, batches, errors, history };
}

/** Changes keys at random, and knows what it wrote. */
class Writer {
  readonly written: Written[] = [];
  readonly #prefix: string;
  #count = 0;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  async write(times: number): Promise<void> {
    await Promise.all(Array.from({ length: times }, () => this.#once()));
  }

  async #once(): Promise<void> {
    const keys = new Set(Array.from({ length: 1 + Math.random() * 3 }, () => this.#name()));
    await this.commit(
      [...keys].map((key) => {
        this.#count += 1;
        return { key, value: Math.random() < 0.6 ? `${this.#count}` : undefined };
      }),
    );
  }

  async commit(changes: Written['changes']): Promise<bigint> {
    const success = changes.map(
      ({ key, value }): Operation =>
        value === undefined ? { delete: { key } } : { put: { key, value } },
    );
    const { revision, replies } = await etcd.admin.commit({ success });
    // The deletion of a key that is not there is no change.
    const made = changes.filter(({ value }, i) => value !== undefined || replies[i]?.count === 1);
    if (made.length > 0) this.written.push({ revision, changes: made });
    return revision;
  }

  #name(): string {
    return `${this.#prefix}${Math.floor(Math.random() * 30)}`;
  }
}

it('keeps every promise while connections are cut, members fall silent and history is compacted', {
  timeout: 60_000 + reconnects * 4_000,
}, async () => {
  const prefix = `${etcd.name()}/`;
  const proxy = await etcd.startProxy();
  const store = etcd.open({ endpoints: [proxy.endpoint], attemptTimeout: 300 });
  const writer = new Writer(prefix);
  await writer.write(20);
  const previous = true;
  const watches = [
    listening(store, 'listener', prefix, { previous }),
    listening(store, 'listener of puts', prefix, { previous, only: 'put' }),
    listening(store, 'listener of deletions', prefix, { previous, only: 'delete' }),
    looping(store, 'loop', prefix, { previous }),
    looping(store, 'loop with state', prefix, { previous, initial: true }),
    looping(store, 'loop over puts', prefix, { previous, only: 'put' }),
    looping(store, 'loop over deletions', prefix, { previous, only: 'delete' }),
    looping(store, 'slow loop', prefix, { previous, buffer: 5, initial: true }, 10),
  ];
  etcd.defer(() => watches.forEach(({ watch }) => watch.close()));
  await Promise.all(watches.map(({ watch }) => watch.ready));
  let [compactions, compacted] = [0, 0n];
  for (let round = 0; round < reconnects; round += 1) {
    await writer.write(3);
    if (round % 10 === 9) proxy.blackhole();
    else proxy.cut();
    await writer.write(3);
    if (round % 3 === 0) {
      compacted = await compactNow();
      compactions += 1;
    }
    await writer.write(2);
    if (round % 10 === 9) await delay(400);
    proxy.heal();
    const late = await writer.commit([{ key: `${prefix}end`, value: `${round}` }]);
    const isThere = (): boolean => (watches[0]?.batches.at(-1)?.revision ?? 0n) >= late;
    await waitFor(isThere, { timeout: 20_000 });
  }
  // Everybody is told of one or the other.
  const end = await writer.commit([{ key: `${prefix}end`, value: undefined }]);
  await writer.commit([{ key: `${prefix}end`, value: '' }]);
  const told = ({ batches }: Recording): bigint => batches.at(-1)?.revision ?? 0n;
  await waitFor(() => watches.every((watch) => told(watch) >= end), { timeout: 30_000 });
  expect(watches.flatMap(({ errors }) => errors)).toEqual([]);
  const histories = watches.map((watch) => watch.history(end));
  expect(breachesOf(writer.written, histories, compacted)).toEqual([]);
  const count = (origin: string): number =>
    histories.flatMap(({ batches }) => batches).filter((batch) => batch.origin === origin).length;
  if (process.env['WATCH_RECONNECTS'])
    console.log(
      `${reconnects} cuts, ${compactions} compactions, ${writer.written.length} revisions, ${count('gap')} gaps, ${count('resync')} resyncs`,
    );
  expect(count('gap')).toBeGreaterThan(0);
  expect(count('resync')).toBeGreaterThan(0);
});

async function compactNow(): Promise<bigint> {
  const { revision } = await etcd.admin.read({ key: 'x' });
  await compact(etcd.endpoint, etcd.admin);
  return revision;
}
