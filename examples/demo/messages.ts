/** The two ways to write: under the guard of the hold, or trusting that the lock is still held. */
export type Kind = 'guarded' | 'plain';

/** What became of an increment. Only `unknown` leaves open whether it was applied. */
export type Outcome = 'acknowledged' | 'refused' | 'unknown' | 'not-applied';

/** What a worker needs to know; passed as its only argument. */
export interface Setup {
  readonly name: string;
  readonly endpoints: readonly string[];
  /** Where all keys of this run are. */
  readonly prefix: string;
  /** Of its session, in milliseconds. */
  readonly ttl: number;
}

/** One section under the lock: acquire, read, write, release. Times are those of `now()`. */
export interface Section {
  readonly worker: string;
  readonly kind: Kind;
  readonly token: bigint;
  /** Milliseconds from asking for the lock to having it. */
  readonly waited: number;
  /** When it had the lock. */
  readonly since: number;
  /** The last moment at which its hold said that it was not lost. */
  readonly until: number;
  readonly outcome: Outcome;
  /** Why it was refused or unknown. */
  readonly error?: string;
}

/** What the main process tells a worker. */
export type Order =
  /** In your next section of this kind, stop between read and write until told to `proceed`. */
  { readonly do: 'linger'; readonly kind: Kind } | { readonly do: 'proceed' | 'stop' };

/** What a worker tells the main process. */
export type Report =
  | { readonly is: 'ready'; readonly ttl: number }
  | { readonly is: 'lingering'; readonly token: bigint }
  /** The last words: all else has been said. */
  | { readonly is: 'done' }
  | { readonly is: 'section'; readonly section: Section };

/** Milliseconds of a monotonic clock that all processes on one machine share. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
