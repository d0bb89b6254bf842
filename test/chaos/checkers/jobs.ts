import type { Change, Entry } from '../history.js';
import { Checker } from './checker.js';
import { BATCHES, type End, Records, valueIn } from './records.js';
import { Takers } from './takers.js';

/** Jobs that were put together: when, and how many. */
interface Put {
  readonly t: number;
  readonly queue: string;
  readonly i: number;
  readonly by: string;
  readonly count: number;
  /** Whether it is known where in the queue they are. */
  isPlaced: boolean;
  isSure: boolean;
}

/** What became of a job. */
interface Life {
  /** Of those who began it. */
  readonly tokens: number[];
  /** The revision at which it was done or given up, and which of the two. */
  rev?: number;
  how?: string;
  /** The token of who had it then, where the log tells. */
  by?: number | undefined;
  /** An end that was acknowledged, when, and to whom. */
  told?: string;
  toldAt?: number;
  toldBy?: number;
  /** Those who know that it was not they who ended it. */
  denied?: Set<number>;
}

/** A first attempt. */
interface First {
  readonly value: string;
  readonly t: number;
  readonly token: number;
}

/** The last job of a producer that a process has begun. */
interface Begun {
  readonly i: number;
  readonly place: number;
  readonly value: string;
}

/** One of those that were put together with this value. */
export function jobOf(value: string, place: number): string {
  return `${value}/${place}`;
}

/**
 * By etcd's own history each job whose put was acknowledged is done once, or given up with a reason, and never both; what is done
 * was begun by somebody, and nobody begins it afterwards; an end that was acknowledged took effect; and while one process
 * consumes, those of one producer are begun in the order of their puts. Where the log tells of their claims: one has it at a time,
 * and ends it; an end that was acknowledged, or refused, was so to the right one.
 */
export class Jobs extends Checker {
  readonly name = 'jobs';
  readonly #puts = new Map<string, Put>();
  readonly #lives = new Map<string, Life>();
  readonly #calls = new Map<string, Entry>();
  /** First attempts, by process and queue. */
  readonly #first = new Map<string, First[]>();
  readonly #takers = new Takers();
  readonly #records = new Records();

  see(entry: Entry): void {
    const { f, t, changes = [] } = entry;
    if (f === 'put job') this.#put(entry);
    else if (f === 'job') this.#begin(entry);
    else if (f === 'end job') this.#end(entry);
    else if (f === 'log') this.#logged(t, changes);
  }

  override end(): void {
    for (const [value, { t, queue, count, isSure }] of this.#puts) {
      for (let place = 0; place < (isSure ? count : 0); place += 1) {
        const job = jobOf(value, place);
        if (!this.#lives.get(job)?.how) this.violation(t, `${job} of ${queue} is lost`);
      }
    }
    for (const [value, life] of this.#lives) this.#over(value, life);
    for (const [who, jobs] of this.#first) this.#ordered(who, jobs);
  }

  #over(value: string, { tokens, rev, how, by, told, toldAt = 0, toldBy, denied }: Life): void {
    if (told && told !== how) this.violation(toldAt, `${value} was told to be ${told}, and is not`);
    if (rev === undefined) return;
    const put = this.#putOf(value)?.put;
    const t = put?.t ?? 0;
    if (!put) this.violation(0, `${value}, which nobody put, was done`);
    else if (tokens.length === 0) this.violation(t, `${value} was ended, and not begun`);
    if (tokens.some((token) => token > rev)) {
      this.violation(t, `${value} was begun after it was ended at ${rev}`);
    }
    if (by === undefined) return;
    const whose = `${value} was ${how} at ${rev} by token ${by}`;
    if (by === 0) this.violation(t, `${value} was ${how} at ${rev}, when nobody had it`);
    // Who finds that it was begun too often gives it up without beginning it.
    else if (how === 'done' && !tokens.includes(by)) this.violation(t, `${whose}, not begun`);
    if (told && toldBy !== by) this.violation(toldAt, `${whose}, and told to token ${toldBy}`);
    else if (!told && denied?.has(by)) this.violation(t, `${whose}, who was told it was not`);
  }

  #end(entry: Entry): void {
    const { e, p, i = 0, t, applied } = entry;
    const id = `${p}:${i}`;
    if (e === 'invoke') {
      // Whoever ends it at once says with it that it was begun.
      if (entry.token !== undefined && entry.version !== undefined) this.#begin(entry);
      this.#calls.set(id, entry);
      return;
    }
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    this.count(`ends ${e}`);
    if (!call) return;
    const { key: queue, value, token = 0 } = call;
    const life = this.#lifeOf(value ?? '');
    const told = entry.reason ?? call.reason ?? '';
    if (told === 'returned' || (e === 'fail' && !applied)) (life.denied ??= new Set()).add(token);
    else if (e === 'ok' || applied) {
      if (life.told) this.violation(t, `${value} of ${queue} was ended twice`);
      Object.assign(life, { told, toldAt: t, toldBy: token });
    }
  }

  #put({ e, p, i = 0, t, key: queue = '', delta = 1, applied }: Entry): void {
    // It is what is put, too.
    const id = `${p}:${i}`;
    if (e === 'invoke') {
      this.#puts.set(id, { t, queue, i, by: p, count: delta, isPlaced: false, isSure: false });
      return;
    }
    const put = this.#puts.get(id);
    if (!put) return;
    this.count(`puts ${e}`, put.count);
    put.isSure = e === 'ok' || applied === true;
    put.isPlaced = e === 'ok';
  }

  #putOf(job: string): { readonly put: Put; readonly place: number } | undefined {
    const [value = '', place] = job.split('/');
    const put = this.#puts.get(value);
    return put && { put, place: Number(place) };
  }

  #lifeOf(job: string): Life {
    const life = this.#lives.get(job) ?? { tokens: [] };
    this.#lives.set(job, life);
    return life;
  }

  #begin({ p, t, key: queue = '', value = '', token = 0, version = 1 }: Entry): void {
    if (value === null) return;
    const { tokens } = this.#lifeOf(value);
    if (tokens.includes(token)) this.violation(t, `${value} was begun twice with token ${token}`);
    tokens.push(token);
    if (version > 1) {
      this.count('begun again');
      if (queue === BATCHES) this.count('begun again in batches');
    } else if (queue.startsWith('own-')) {
      const who = `${p} ${queue}`;
      const jobs = this.#first.get(who) ?? [];
      jobs.push({ value, t, token });
      this.#first.set(who, jobs);
    }
  }

  #logged(t: number, changes: readonly Change[]): void {
    for (const change of changes) this.#change(t, change);
    const ends = this.#records.see(changes, (value, tokens) => {
      this.violation(t, `${value} was given to two at once: tokens ${tokens.join(', ')}`);
    });
    let last: End | undefined;
    for (const end of ends.values()) {
      this.#ended(t, end);
      if (end.rev === last?.rev && end.by === last.by) this.count('ended with others');
      last = end;
    }
  }

  #change(t: number, change: Change): void {
    this.#takers.see(t, change);
    const [rev, type, key, text, version] = change;
    if (type !== 'put') return;
    if (key.startsWith('done/')) {
      const value = key.slice('done/'.length);
      if (version !== 1) this.violation(t, `${value} was done twice`);
      this.#ended(t, { value, rev, how: 'done' });
      return;
    }
    const queue = /^queue\/([^/]+)\/dead\//.exec(key)?.[1];
    if (queue === undefined) return;
    const value = valueIn(text);
    const { reason } = JSON.parse(text.split('\n', 1)[0] ?? '') as { reason?: string };
    if (!reason) this.violation(t, `${value} was given up without a reason`);
    if (queue !== BATCHES) this.#ended(t, { value, rev, how: 'dead' });
  }

  #ended(t: number, { value, rev, how, by }: Omit<End, 'by'> & Partial<End>): void {
    const life = this.#lifeOf(value);
    if (life.how) this.violation(t, `${value} was ${life.how}, and then ${how}`);
    else this.count(how === 'done' ? 'done' : 'given up');
    Object.assign(life, { rev, how, by });
  }

  /** Those of which it is known that they were put: by the calls that did, which is their order. */
  #ordered(who: string, jobs: readonly First[]): void {
    const last = new Map<string, Begun>();
    for (const job of jobs) {
      const { value, t } = job;
      const found = this.#putOf(value);
      if (!found?.put.isPlaced || this.#takers.wereMany(found.put.queue, job)) continue;
      const { put, place } = found;
      const { by, i } = put;
      const before = last.get(by);
      if (before && (before.i > i || (before.i === i && before.place > place))) {
        this.violation(t, `${who} began ${value} after ${before.value}, which was put later`);
      }
      this.count('in order');
      last.set(by, { i, place, value });
    }
  }
}
