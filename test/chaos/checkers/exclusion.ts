import type { Entry } from '../history.js';
import { Checker, Pauses } from './checker.js';

interface Grant {
  readonly token: number;
  readonly t: number;
  readonly p: string;
  readonly mode: string | undefined;
  /** Whether it is that of somebody who held it already, as less. */
  readonly upgraded: boolean;
}

/** Microseconds for which a hold may outlive its key where etcd itself, or somebody else, took the key early. */
const NOTICE = 2_000_000;
const KEPT = 1_000;
const LOOKS = new Set(['vault', 'append', 'mark']);

/**
 * Tokens of a lock grow from one holder to the next, and none is given twice. Whoever looks at a hold after somebody
 * was let in whom it excludes is told that it is lost: always where the holder could not have renewed its lease, and shortly after
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
    } else if (f === 'upgrade' && e === 'ok') {
      this.#grants.get(lock)?.push({ token, t: entry.t, p, mode: 'write', upgraded: true });
      this.count('upgrades');
    } else if (LOOKS.has(f) && e === 'invoke') this.#looked(entry);
    else if (f === 'lost') this.count(`holds lost: ${entry.reason}`);
  }

  #granted({ t, p, lock = '', token = 0, mode }: Entry, floor: number): void {
    const grants = this.#grants.get(lock) ?? [];
    const twin = grants.find((grant) => grant.token === token);
    if (twin) this.violation(t, `${p} and ${twin.p} both got ${lock} with token ${token}`);
    if (token <= floor) {
      this.violation(t, `${p} got ${lock} with token ${token}, asked for when ${floor} was given`);
    }
    const grant = { token, t, p, mode, upgraded: false };
    grants.push(grant);
    if (grants.length > 2 * KEPT) grants.splice(0, KEPT);
    this.#grants.set(lock, grants);
    if (token > (this.#highest.get(lock)?.token ?? 0)) this.#highest.set(lock, grant);
    this.count(mode ? `grants of ${lock} to ${mode}` : 'grants');
  }

  #looked({ t, p, lock = '', token = 0, lost, mode }: Entry): void {
    if (lost !== null) return;
    const grants = this.#grants.get(lock) ?? [];
    // As less than what was got, after a downgrade, it has been held from the beginning.
    const asMode = grants.findLast((grant) => grant.token === token && grant.mode === mode);
    const own = asMode ?? grants.findLast((grant) => grant.token === token);
    if (!own) return;
    const isLater = (grant: Grant): boolean =>
      own.upgraded || grant.upgraded ? grant.t > own.t : grant.token > token;
    const next = grants.find(
      (grant) => grant.token !== token && excludes(grant.mode, mode) && isLater(grant),
    );
    if (!next) return;
    const late = t - next.t;
    this.count('holds seen as held after somebody else got in');
    const stopped = this.#pauses.within(p, own.t, t);
    const what = `${p} is told that it holds ${lock} with token ${token}, ${late / 1_000} ms after ${next.p} got ${next.token}`;
    if (stopped >= this.#ttl) {
      this.violation(t, `${what}, and was stopped for ${stopped / 1_000} ms`);
    } else if (late - stopped > NOTICE) this.violation(t, what);
  }
}

/** Whether two cannot hold a lock at the same time, each in a way of its own. */
export function excludes(one: string | undefined, other: string | undefined): boolean {
  if (one === 'permits' || other === 'permits') return false;
  if (one === 'read') return other !== 'read' && other !== 'upgradeable';
  if (one === 'upgradeable') return other !== 'read';
  return true;
}
