import type { Change, Entry } from '../history.js';
import { Checker } from './checker.js';

/** A change as the full log has it, and where the key was before. */
interface Logged {
  readonly change: Change;
  /** Its value before; `null` if there was none. */
  readonly before: string | null;
}

interface Followed {
  readonly id: string;
  readonly key: string;
  readonly end: string;
  readonly only: string | undefined;
  readonly previous: boolean;
  /** Up to here, by number in the log, it has told everything it should. */
  position: number | undefined;
  from: number | undefined;
  last: number;
  /** What it said that the log is yet to confirm: changes, or that there is a gap. */
  readonly told: {
    readonly t: number;
    readonly changes: readonly Change[];
    readonly gap?: number;
  }[];
  through?: number;
}

const TRIMMED = 10_000;

/**
 * What each watch told, against a log of everything that was kept by a client of another make, from other members. A
 * watch tells of what is in its range and passes its filter, of all of it from where it began, in order, each
 * change once and whole revisions together, with what was before where that was asked for; what may be
 * missing lies before a gap that it told of, and was compacted.
 */
export class Watches extends Checker {
  readonly name = 'watches';
  readonly #watches = new Map<string, Followed>();
  #log: Logged[] = [];
  /** The number of the log's first change that is kept. */
  #first = 0;
  #revision = 0;
  #compacted = 0;
  readonly #values = new Map<string, string>();

  see(entry: Entry): void {
    const { f, e, t, p, i } = entry;
    const id = `${p}#${i}`;
    const watch = this.#watches.get(id);
    if (f === 'log') this.#logged(entry.changes ?? []);
    else if (f === 'fault' && entry.kind === 'compacted') {
      // From when it was asked for.
      this.#compacted = Math.max(this.#compacted, entry.rev ?? 0);
      if (e === 'ok') this.count('compactions');
    } else if (f === 'begin') this.#gone(p);
    else if (f === 'watch') this.#opened(id, entry);
    else if (!watch) return;
    else if (f === 'ready') watch.from ??= entry.since;
    else if (f === 'events') {
      this.count('events', entry.changes?.length);
      watch.told.push({ t, changes: entry.changes ?? [] });
    } else if (f === 'gap') watch.told.push({ t, changes: [], gap: entry.rev ?? 0 });
    else if (f === 'closed') this.#closed(watch, entry);
    else if (f === 'unwatch') {
      if (entry.through === undefined) this.#watches.delete(id);
      else watch.through = entry.through;
    }
    if (f === 'log' || f === 'events' || f === 'unwatch') this.#compareAll(t);
  }

  override end(): void {
    for (const watch of this.#watches.values()) {
      this.#compare(watch, 0);
      const [rest] = watch.told;
      if (rest) this.violation(rest.t, `${watch.id} told ${show(rest.changes[0])}, not in the log`);
      else if (watch.through !== undefined && this.#watches.has(watch.id)) {
        this.violation(0, `${watch.id}: the log does not come to ${watch.through}`);
      }
    }
  }

  #opened(id: string, { key = '', end = '', from, only, previous = false }: Entry): void {
    this.count('watches');
    this.#watches.set(id, {
      id,
      key,
      end,
      only,
      previous,
      position: undefined,
      from,
      last: 0,
      told: [],
    });
  }

  #gone(process: string): void {
    const [slot] = process.split('.');
    for (const id of Array.from(this.#watches.keys())) {
      const [owner = ''] = id.split('#');
      const successor = owner !== process && owner.split('.')[0] === slot;
      if (successor) this.#watches.delete(id);
    }
  }

  #closed(watch: Followed, { t, error = '' }: Entry): void {
    this.violation(t, `${watch.id} was closed: ${error}`);
    this.#watches.delete(watch.id);
  }

  #gap(watch: Followed, rev: number, t: number): void {
    this.count('gaps');
    const next = Math.max(watch.last + 1, watch.from ?? 0);
    // One that has yet to tell of anything may share the lot of an older one of the same range, which had more to catch up.
    if (this.#compacted < next - 1 && watch.last === 0) this.count('gaps before the first change');
    else if (this.#compacted < next - 1) {
      this.violation(t, `${watch.id} told of a gap at ${rev}, but all from ${next} on was there`);
    }
    if (rev < watch.last)
      this.violation(t, `${watch.id} told of a gap at ${rev}, after ${watch.last}`);
    watch.from = rev + 1;
    watch.position = undefined;
  }

  #logged(changes: readonly Change[]): void {
    for (const change of changes) {
      const [revision, type, key, value] = change;
      this.#revision = revision;
      if (!key.startsWith('data/')) continue;
      const before = this.#values.get(key) ?? null;
      if (type === 'put') this.#values.set(key, value);
      else this.#values.delete(key);
      this.#log.push({ change, before });
    }
  }

  #compareAll(t: number): void {
    for (const watch of this.#watches.values()) {
      if (watch.told.length > 0 || watch.through !== undefined) this.#compare(watch, t);
    }
    if (this.#log.length > 2 * TRIMMED) this.#trim();
  }

  #trim(): void {
    for (const watch of this.#watches.values()) if (watch.from !== undefined) this.#next(watch);
    let keep = this.#first + this.#log.length - TRIMMED;
    for (const { position } of this.#watches.values()) keep = Math.min(keep, position ?? keep);
    if (keep <= this.#first) return;
    this.#log = this.#log.slice(keep - this.#first);
    this.#first = keep;
  }

  /** The number of the first change of the log that is at this revision or later. */
  #positionOf(revision: number): number {
    let [low, high] = [0, this.#log.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#log[middle]?.change[0] ?? 0) < revision) low = middle + 1;
      else high = middle;
    }
    return this.#first + low;
  }

  #compare(watch: Followed, t: number): void {
    while (watch.told.length > 0) {
      const [{ t: at, changes, gap }] = watch.told as [(typeof watch.told)[number]];
      if ((gap ?? changes.at(-1)?.[0] ?? 0) > this.#revision) return;
      watch.told.shift();
      if (gap !== undefined) this.#gap(watch, gap, at);
      for (const change of changes) this.#compareOne(watch, change, at);
      this.#whole(watch, changes, at);
    }
    const { through } = watch;
    if (through === undefined || this.#revision < through) return;
    this.#watches.delete(watch.id);
    const missing = this.#next(watch);
    if (missing && missing.change[0] <= through) {
      this.violation(
        t,
        `${watch.id} came to ${watch.last} and ended at ${through}, without ${show(missing.change)}`,
      );
    }
  }

  #compareOne(watch: Followed, change: Change, t: number): void {
    const [revision, , key] = change;
    if (
      revision < watch.last ||
      (revision === watch.last && this.#next(watch)?.change[0] !== revision)
    ) {
      this.violation(t, `${watch.id} told ${show(change)} after revision ${watch.last}`);
      return;
    }
    if (key < watch.key || key >= watch.end || (watch.only && change[1] !== watch.only)) {
      this.violation(t, `${watch.id} told ${show(change)}, which it did not ask for`);
      return;
    }
    let expected = this.#next(watch);
    const missed: string[] = [];
    while (expected && expected.change[0] < revision) {
      missed.push(show(expected.change));
      this.#pass(watch);
      expected = this.#next(watch);
    }
    if (missed.length > 0) {
      this.violation(
        t,
        `${watch.id} told ${show(change)}, without ${missed.slice(0, 3).join(', ')} before (${missed.length} missing)`,
      );
    }
    watch.last = revision;
    if (!expected || !same(expected.change, change)) {
      this.violation(t, `${watch.id} told ${show(change)}, the log has ${show(expected?.change)}`);
      return;
    }
    this.#pass(watch);
    if (watch.previous && change[7] !== expected.before) {
      // etcd cannot tell what it has forgotten.
      if (change[7] === null && this.#compacted > 0)
        this.count('values before that were compacted');
      else
        this.violation(
          t,
          `${watch.id} told ${show(change)}, the value before was ${expected.before}`,
        );
    }
  }

  /** All of a revision comes together. */
  #whole(watch: Followed, changes: readonly Change[], t: number): void {
    const next = this.#next(watch)?.change;
    const last = changes.at(-1)?.[0];
    if (next && next[0] === last) {
      this.violation(t, `${watch.id} told revision ${last} without ${show(next)}`);
    }
  }

  /** What the watch should tell next, as far as the log knows. */
  #next(watch: Followed): Logged | undefined {
    const { from = 0 } = watch;
    // Where it begins is not known before the log comes there.
    if (watch.position === undefined && from > this.#revision) return undefined;
    watch.position ??= this.#positionOf(from);
    for (; ; watch.position += 1) {
      const logged = this.#log[watch.position - this.#first];
      if (!logged) return undefined;
      const [, type, key] = logged.change;
      const matches = key >= watch.key && key < watch.end && (!watch.only || type === watch.only);
      if (matches) return logged;
    }
  }

  #pass(watch: Followed): void {
    watch.position = (watch.position ?? 0) + 1;
  }
}

function same(a: Change, b: Change): boolean {
  for (let i = 0; i < 7; i += 1) if (a[i] !== b[i]) return false;
  return true;
}

function show(change: Change | undefined): string {
  if (!change) return 'nothing';
  const [revision, type, key, value, version] = change;
  return `${type} ${key}=${value} (revision ${revision}, version ${version})`;
}
