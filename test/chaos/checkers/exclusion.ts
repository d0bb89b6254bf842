import type { Entry } from '../history.js';
import { Checker, Pauses } from './checker.js';

interface Grant {
  readonly token: number;
  readonly t: number;
  readonly p: string;
  readonly lease: string | undefined;
}

/** Microseconds for which a hold may outlive its key where etcd itself, or somebody else, took the key early. */
const NOTICE = 2_000_000;
const KEPT = 1_000;

/**
 * Tokens of a lock grow from one holder to the next, and none is given twice. Whoever looks at a hold after somebody
 * else was let in is told that it is lost: always where the holder could not have renewed its lease, and shortly after
 * where the key was taken away before its time.
 */
export class Exclusion extends Checker {
  readonly name = 'exclusion';
  readonly #ttl: number;
  readonly #floors = new Map<string, number>();
  readonly #grants = new Map<string, Grant[]>();
  readonly #highest = new Map<string, Grant>();
  readonly #pauses = new Pauses();

  /** @param ttl - of sessions, in milliseconds */
  constructor(ttl: number) {
    super();
    this.#ttl = ttl * 1_000;
  }

  see(entry: Entry): void {
    this.#pauses.see(entry);
    const { f, e, p, i, lock = '', token = 0 } = entry;
    if (f === 'acquire') {
      const operation = `${p}:${i}`;
      if (e === 'invoke') this.#floors.set(operation, this.#highest.get(lock)?.token ?? 0);
      else {
        if (e === 'ok' && token > 0) this.#granted(entry, this.#floors.get(operation) ?? 0);
        this.#floors.delete(operation);
      }
    } else if ((f === 'vault' || f === 'append') && e === 'invoke') this.#looked(entry);
    else if (f === 'lost') this.count(`holds lost: ${entry.reason}`);
  }

  #granted({ t, p, lock = '', token = 0, lease }: Entry, floor: number): void {
    const grants = this.#grants.get(lock) ?? [];
    const twin = grants.find((grant) => grant.token === token);
    if (twin) this.violation(t, `${p} and ${twin.p} both got ${lock} with token ${token}`);
    if (token <= floor) {
      this.violation(t, `${p} got ${lock} with token ${token}, asked for when ${floor} was given`);
    }
    const grant = { token, t, p, lease };
    grants.push(grant);
    if (grants.length > 2 * KEPT) grants.splice(0, KEPT);
    this.#grants.set(lock, grants);
    if (token > (this.#highest.get(lock)?.token ?? 0)) this.#highest.set(lock, grant);
    this.count('grants');
  }

  #looked({ t, p, lock = '', token = 0, lost }: Entry): void {
    const grants = this.#grants.get(lock) ?? [];
    const own = grants.findLast((grant) => grant.token === token);
    const next = grants.find((grant) => grant.token > token);
    if (lost !== null || !own || !next) return;
    const late = t - next.t;
    this.count('holds seen as held after somebody else got in');
    const stopped = this.#pauses.within(p, own.t, t);
    const what = `${p} is told that it holds ${lock} with token ${token}, ${late / 1_000} ms after ${next.p} got ${next.token}`;
    if (stopped >= this.#ttl) {
      this.violation(t, `${what}, and was stopped for ${stopped / 1_000} ms`);
    } else if (late - stopped > NOTICE) this.violation(t, what);
  }
}
