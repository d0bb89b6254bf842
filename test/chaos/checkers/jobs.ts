import type { Change, Entry } from '../history.js';
import { Checker } from './checker.js';
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
  /** An end that was acknowledged, and when. */
  told?: string;
  toldAt?: number;
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
 * consumes, those of one producer are begun in the order of their puts.
 */
export class Jobs extends Checker {
  readonly name = 'jobs';
  readonly #puts = new Map<string, Put>();
  readonly #lives = new Map<string, Life>();
  readonly #calls = new Map<string, { readonly value: string; readonly how: string }>();
  /** First attempts, by process and queue. */
  readonly #first = new Map<string, First[]>();
  readonly #takers = new Takers();

  see(entry: Entry): void {
    const { f, e, p, i = 0, t, key: queue = '', value } = entry;
    if (f === 'put job') this.#put(entry);
    else if (f === 'job') this.#begin(entry);
    else if (f === 'end job') {
      const id = `${p}:${i}`;
      if (e === 'invoke') {
        // Whoever ends it at once says with it that it was begun.
        if (entry.token !== undefined && entry.version !== undefined) this.#begin(entry);
        this.#calls.set(id, { value: value ?? '', how: entry.reason ?? '' });
        return;
      }
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      this.count(`ends ${e}`);
      if (!call || (e !== 'ok' && !entry.applied)) return;
      const life = this.#lifeOf(call.value);
      if (life.told) this.violation(t, `${call.value} of ${queue} was ended twice`);
      life.told = call.how;
      life.toldAt = t;
    } else if (f === 'log') {
      for (const change of entry.changes ?? []) this.#change(t, change);
    }
  }

  override end(): void {
    for (const [value, { t, queue, count, isSure }] of this.#puts) {
      for (let place = 0; place < (isSure ? count : 0); place += 1) {
        const job = jobOf(value, place);
        if (!this.#lives.get(job)?.how) this.violation(t, `${job} of ${queue} is lost`);
      }
    }
    for (const [value, { tokens, rev, how, told, toldAt = 0 }] of this.#lives) {
      if (told && told !== how)
        this.violation(toldAt, `${value} was told to be ${told}, and is not`);
      if (rev === undefined) continue;
      const put = this.#putOf(value)?.put;
      if (!put) this.violation(0, `${value}, which nobody put, was done`);
      else if (tokens.length === 0) this.violation(put.t, `${value} was ended, and not begun`);
      if (tokens.some((token) => token > rev)) {
        this.violation(put?.t ?? 0, `${value} was begun after it was ended at ${rev}`);
      }
    }
    for (const [who, jobs] of this.#first) this.#ordered(who, jobs);
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
    if (version > 1) this.count('begun again');
    else if (queue.startsWith('own-')) {
      const who = `${p} ${queue}`;
      const jobs = this.#first.get(who) ?? [];
      jobs.push({ value, t, token });
      this.#first.set(who, jobs);
    }
  }

  #change(t: number, change: Change): void {
    this.#takers.see(t, change);
    const [rev, type, key, text, version] = change;
    if (type !== 'put') return;
    if (key.startsWith('done/')) {
      const value = key.slice('done/'.length);
      if (version !== 1) this.violation(t, `${value} was done twice`);
      this.#ended(t, value, rev, 'done');
    } else if (/^queue\/[^/]+\/dead\//.test(key)) {
      const [header = '{}', ...rest] = text.split('\n');
      const value = JSON.parse(rest.join('\n')) as string;
      const { reason } = JSON.parse(header) as { reason?: string };
      if (!reason) this.violation(t, `${value} was given up without a reason`);
      this.#ended(t, value, rev, 'dead');
    }
  }

  #ended(t: number, value: string, rev: number, how: string): void {
    const life = this.#lifeOf(value);
    if (life.how) this.violation(t, `${value} was ${life.how}, and then ${how}`);
    else this.count(how === 'done' ? 'done' : 'given up');
    life.rev = rev;
    life.how = how;
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
