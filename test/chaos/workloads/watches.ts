import { setTimeout as sleep } from 'node:timers/promises';
import type { Watch, WatchEvent, WatchOptions } from '../../../src/index.js';
import type { Change } from '../history.js';
import { type Context, under } from './context.js';

const LAST_WORD = 15_000;

/** The watches of one worker, all taken down. */
export class Watches {
  readonly #context: Context;
  readonly #open = new Map<number, { readonly watch: Watch; revision: number }>();
  #last = 0;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Watches until the run is over; gives the number of the watch. */
  open(prefix: string, options: WatchOptions): number {
    const { operations, store } = this.#context;
    this.#last += 1;
    const i = this.#last;
    const { key, end } = under(prefix);
    const { from, only, previous } = options;
    operations.note('watch', {
      i,
      key,
      end,
      ...(from !== undefined && { from: Number(from) }),
      ...(only && { only }),
      ...(previous && { previous }),
    });
    let ready = false;
    // Whoever begins at a revision may get events before anybody has said that the watch is ready.
    const begin = (): void => {
      if (ready || watch.since === undefined) return;
      ready = true;
      operations.note('ready', { i, since: Number(watch.since) });
    };
    const state = { revision: 0 };
    const watch = store.watch(
      { key, end },
      {
        events: (events) => {
          begin();
          operations.note('events', { i, changes: events.map((event) => change(event, previous)) });
          state.revision = Number(events.at(-1)?.kv.modRevision ?? 0);
        },
        gap: (revision) => {
          ready = true;
          operations.note('gap', { i, rev: Number(revision) });
          state.revision = Math.max(state.revision, Number(revision));
        },
        closed: (error) => {
          operations.note('closed', { i, error: `${error.name}: ${error.message}` });
          this.#open.delete(i);
        },
      },
      options,
    );
    watch.ready.then(begin, () => {});
    this.#open.set(i, Object.assign(state, { watch }));
    return i;
  }

  /** How far a watch has come; `undefined` if it is over. */
  revisionOf(i: number): number | undefined {
    return this.#open.get(i)?.revision;
  }

  close(i: number, through?: number): void {
    const watch = this.#open.get(i)?.watch;
    if (!watch) return;
    this.#open.delete(i);
    watch.close();
    this.#context.operations.note('unwatch', { i, ...(through !== undefined && { through }) });
  }

  /** Ends all; those that go on to the end, when they have come to `revision` or had time enough to. */
  async finish(revision: number): Promise<void> {
    const limit = performance.now() + LAST_WORD;
    const late = (): boolean => [...this.#open.values()].some((watch) => watch.revision < revision);
    while (late() && performance.now() < limit) await sleep(20);
    for (const i of Array.from(this.#open.keys())) this.close(i, revision);
  }
}

function change({ type, kv, previous }: WatchEvent, wanted = false): Change {
  const { key, value, modRevision, version, createRevision, lease } = kv;
  const before = wanted ? [previous ? previous.value.toString() : null] : [];
  const fields =
    type === 'put'
      ? ([value.toString(), Number(version), Number(createRevision), String(lease)] as const)
      : (['', 0, 0, '0'] as const);
  return [Number(modRevision), type, key.toString(), ...fields, ...before] as unknown as Change;
}

/** Two watches for all of the run, and short ones from what is past already. */
export async function watches(context: Context, all: Watches): Promise<void> {
  const { random, store, stop } = context;
  all.open('data/', { previous: random.chance(0.5) });
  all.open('data/cnt/', random.chance(0.5) ? { only: 'put' } : {});
  while (!stop.aborted) {
    await sleep(random.between(500, 2_000), undefined, { signal: stop }).catch(() => {});
    const known = await store.read({ key: 'data/', countOnly: true }).catch(() => undefined);
    if (stop.aborted) break;
    if (!known || known.revision < 200n) continue;
    const target = Number(known.revision);
    const i = all.open('data/reg/', {
      from: known.revision - BigInt(random.below(150)),
      previous: random.chance(0.3),
    });
    const limit = performance.now() + 3_000;
    while ((all.revisionOf(i) ?? target) < target && performance.now() < limit) await sleep(20);
    if ((all.revisionOf(i) ?? 0) >= target) all.close(i, target);
    else all.close(i);
  }
}
