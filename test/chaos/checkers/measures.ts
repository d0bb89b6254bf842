import type { Entry, What } from '../history.js';
import { Checker } from './checker.js';

const CHANGES = new Set<What>(['write', 'cas', 'add']);

interface Disturbance {
  readonly t: number;
  readonly kind: string;
  /** Workers that have not done anything yet that began after the fault. */
  readonly waiting: Set<string>;
}

/** What happened, how often, and how long it took. It finds no fault with anything. */
export class Measures extends Checker {
  readonly name = 'measures';
  /** Milliseconds, by what they are of. */
  readonly times: Map<string, number[]> = new Map();
  /** Faults that were inflicted, by kind. */
  readonly faults: Record<string, number> = {};
  /** From the first line to the last answer, in seconds. */
  seconds = 0;
  /** Seconds until there were no more faults. */
  calm: number = Number.POSITIVE_INFINITY;
  readonly #calls = new Map<string, number>();
  readonly #workers = new Set<string>();
  readonly #stopped = new Set<string>();
  readonly #disturbances: Disturbance[] = [];
  readonly #releases = new Map<string, { t: number; token: number }>();
  #begun = 0;
  #leader = '';

  see(entry: Entry): void {
    const { t, f, e, p, i, kind = '', target = '' } = entry;
    this.#begun ||= t;
    if (e === 'ok' && f !== 'close') this.seconds = (t - this.#begun) / 1e6;
    if (f === 'begin') this.#workers.add(p);
    else if (f === 'calm') this.calm = (t - this.#begun) / 1e6;
    else if (f === 'fault' && e === 'info') this.#fault(entry);
    else if (f === 'fault' && e === 'fail') this.count(`could not: ${kind}`);
    else if (f === 'healed' && kind === 'pause-worker') this.#stopped.delete(target);
    else if (f === 'leader' && target !== this.#leader) {
      if (this.#leader !== '') this.count('leader changes');
      this.#leader = target;
    }
    if (!p.startsWith('w') || i === undefined) return;
    if (e === 'invoke') this.#calls.set(`${p}:${i}`, t);
    else if (e !== 'info') {
      const invoked = this.#calls.get(`${p}:${i}`) ?? t;
      this.#calls.delete(`${p}:${i}`);
      this.count(`operations ${e}`);
      if (e === 'ok') this.#done(entry, invoked);
    }
    if (f === 'release' && e === 'invoke') {
      this.#releases.set(entry.lock ?? '', { t, token: entry.token ?? 0 });
    }
  }

  #fault({ t, kind = '', target = '', links = 0 }: Entry): void {
    this.faults[kind] = (this.faults[kind] ?? 0) + 1;
    this.count('client connections in the way of a fault', links);
    const hit = kind.endsWith('worker') ? target : '';
    if (kind === 'kill-worker') this.#workers.delete(target);
    if (kind === 'pause-worker') this.#stopped.add(target);
    // Nobody waits for who is stopped or dead.
    for (const { waiting } of this.#disturbances) waiting.delete(hit);
    const waiting = new Set([...this.#workers].filter((worker) => !this.#stopped.has(worker)));
    this.#disturbances.push({ t, kind, waiting });
  }

  #done({ t, f, p, lock = '', token = 0, mode }: Entry, invoked: number): void {
    if (f === 'acquire' && token > 0 && !mode && !lock.startsWith('visit'))
      this.#granted(t, lock, token, invoked);
    if (!CHANGES.has(f)) return;
    this.#time(`${f}, no fault regarded`, (t - invoked) / 1_000);
    for (const disturbance of this.#disturbances) {
      if (invoked < disturbance.t) continue;
      if (disturbance.waiting.delete(p) && disturbance.waiting.size === 0) {
        this.#time(`all work again after: ${disturbance.kind}`, (t - disturbance.t) / 1_000);
      }
    }
    while (this.#disturbances[0]?.waiting.size === 0 || this.#disturbances.length > 20) {
      this.#disturbances.shift();
    }
  }

  #granted(t: number, lock: string, token: number, invoked: number): void {
    const release = this.#releases.get(lock);
    if (release && release.token < token && invoked < release.t) {
      this.#time(`hand-off of ${lock}`, (t - release.t) / 1_000);
    }
  }

  #time(what: string, milliseconds: number): void {
    const times = this.times.get(what) ?? [];
    times.push(milliseconds);
    this.times.set(what, times);
  }
}

/** A percentile of some numbers, `NaN` of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (
    sorted[Math.min(sorted.length - 1, Math.floor((percent / 100) * sorted.length))] ?? Number.NaN
  );
}
