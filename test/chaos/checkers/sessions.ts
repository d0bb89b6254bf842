import type { Entry } from '../history.js';
import { Checker, Pauses } from './checker.js';

interface Open {
  readonly t: number;
  readonly p: string;
  readonly ttl: number;
  /** When its lease was revoked by somebody else. */
  revoked?: number;
}

/** Microseconds that a notice may take on a busy machine. */
const SLACK = 2_000_000;

/**
 * No session believes in itself after its lease is gone: not when it could not renew it for as long as it lives, and not
 * long after somebody else has revoked it. At the end neither leases nor keys are left.
 */
export class Sessions extends Checker {
  readonly name = 'sessions';
  readonly #open = new Map<string, Open>();
  readonly #pauses = new Pauses();

  see(entry: Entry): void {
    this.#pauses.see(entry);
    const { t, f, e, p, lease = '', ttl = 0, kind, state } = entry;
    if (f === 'open') {
      this.count(`opened ${e}`);
      if (e === 'ok') this.#open.set(lease, { t, p, ttl: ttl * 1_000 });
    } else if (f === 'close') {
      if (e === 'ok') this.#open.delete(lease);
    } else if (f === 'fault' && kind === 'revoke' && e === 'info') {
      const session = this.#open.get(lease);
      if (session) session.revoked = t;
    } else if (f === 'begin') {
      // A successor: what the process had before is gone with it.
      for (const [id, open] of this.#open) {
        if (open.p !== p && open.p.split('.')[0] === p.split('.')[0]) this.#open.delete(id);
      }
    } else if (f === 'session') {
      if (entry.reason !== undefined) {
        this.count(`lost: ${entry.reason}`);
        const revoked = this.#open.get(lease)?.revoked;
        if (revoked !== undefined) this.count('revocations noticed');
        this.#open.delete(lease);
      } else if (entry.remaining === undefined) this.count(`${state}`);
      else this.#alive(entry);
    } else if (f === 'remains') this.#remains(entry);
  }

  /** A session says of itself that it lives. */
  #alive({ t, p, lease = '', remaining = 0, state }: Entry): void {
    const session = this.#open.get(lease);
    if (!session || remaining <= 0 || state === 'lost' || state === 'closed') return;
    const { revoked, ttl } = session;
    if (revoked !== undefined && t - revoked - this.#pauses.within(p, revoked, t) > ttl + SLACK) {
      this.violation(t, `${p} believes in lease ${lease}, revoked ${(t - revoked) / 1_000} ms ago`);
    }
    const stopped = this.#pauses.within(p, t - 3 * ttl, t);
    // What was renewed since it went on does not bring a lease back.
    if (stopped >= ttl && this.#pauses.within(p, session.t, t) >= ttl) {
      this.violation(
        t,
        `${p} believes in lease ${lease}, and was stopped for ${stopped / 1_000} ms`,
      );
    }
  }

  #remains({ t, leases = [], keys = [], hashes = [] }: Entry): void {
    if (leases.length > 0) this.violation(t, `leases are left: ${leases.join(' ')}`);
    if (keys.length > 0) this.violation(t, `keys are left: ${keys.join(' ')}`);
    if (new Set(hashes).size > 1) this.violation(t, `members differ: ${hashes.join(' ')}`);
  }
}
