import { fieldsIn } from '../core/line/ticket.js';
import type { Session } from '../core/session/session.js';
import { keyId, prefixEnd } from '../core/store/keys.js';
import type { KeyValue, Watch, WatchEvent, WatchListener } from '../core/store/store.js';
import { Backoff } from '../core/time/backoff.js';
import { persist } from '../core/time/persist.js';
import { abortable, onAbort, type WaitOptions, waitScope } from '../core/time/signals.js';
import { traced } from '../core/trace.js';
import { nonEmpty } from '../core/validate.js';
import { JobCancelledError } from './job-cancelled-error.js';
import { JobFailedError } from './job-failed-error.js';
import { decodeRecord } from './job-record.js';
import { jsonIn } from './job-view.js';
import { linger } from './linger.js';
import type { QueueKeys } from './queue-keys.js';
import { type Outcome, Waiter } from './waiter.js';

/** Milliseconds until it is looked again whether a job is still there, at first and at most: of one whose taker keeps no result nobody tells. */
const looks = [2_000, 30_000] as const;

const nothing = (): void => {};

/** What becomes of jobs, for all in this process who wait for that: heard by one watch. */
export class Results implements WatchListener {
  static readonly #all = new WeakMap<Session, Map<string, Results>>();
  readonly #session: Session;
  readonly #name: string;
  readonly #keys: QueueKeys;
  readonly #waiting = new Map<string, Set<Waiter>>();
  #watch: Watch | undefined;
  #stopLinger = nothing;

  private constructor(session: Session, name: string, keys: QueueKeys) {
    this.#session = session;
    this.#name = name;
    this.#keys = keys;
  }

  /** The one shared by all in this process who use the same session. */
  static at(session: Session, name: string, keys: QueueKeys): Results {
    const all = Results.#all.get(session) ?? new Map<string, Results>();
    Results.#all.set(session, all);
    const found = all.get(keys.folder) ?? new Results(session, name, keys);
    all.set(keys.folder, found);
    return found;
  }

  /**
   * Waits until a job is finished, and gives its result.
   *
   * @throws JobFailedError, JobCancelledError; WaitTimeoutError, or the reason of `wait.signal`; ClosedError; RefusedError.
   */
  finished(id: string, wait: WaitOptions): Promise<unknown> {
    nonEmpty('id', id);
    const name = this.#name;
    return traced(
      'wait',
      () => ({ recipe: 'queue', verb: 'finished', name }),
      async () => {
        const { closing, clock } = this.#session;
        const scope = waitScope(wait, closing, clock, `job ${id} of queue ${name}`);
        const waiter = new Waiter();
        const stop = onAbort(scope.signal, () => waiter.fail(scope.signal.reason));
        let stopLooking = nothing;
        try {
          scope.signal.throwIfAborted();
          this.#add(id, waiter);
          await abortable(this.#listen().ready, scope.signal);
          // What comes from here on is heard.
          await this.#look(id, scope.signal);
          stopLooking = this.#lookAtTimes(id, waiter);
          return (await waiter.end)();
        } finally {
          stop();
          stopLooking();
          scope.dispose();
          this.#remove(id, waiter);
        }
      },
    );
  }

  events(events: readonly WatchEvent[]): void {
    for (const { kv } of events) {
      if (keyId(kv.key) === this.#keys.cleared) this.#lookAgain(fieldsIn(kv.value)['ids']);
      const { id = '', outcome } = this.#endIn(kv) ?? {};
      if (!outcome) continue;
      for (const waiter of this.#waiting.get(id) ?? []) waiter.tell(kv.modRevision, outcome);
    }
  }

  gap(): void {
    this.#lookAgain();
  }

  closed(error: Error): void {
    this.#watch = undefined;
    for (const id of this.#waiting.keys()) this.#fail(id, error);
  }

  #add(id: string, waiter: Waiter): void {
    this.#stopLinger();
    const waiters = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiters.add(waiter));
  }

  #remove(id: string, waiter: Waiter): void {
    const waiters = this.#waiting.get(id);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#waiting.delete(id);
    if (this.#waiting.size > 0) return;
    this.#stopLinger();
    this.#stopLinger = linger(this.#session, () => this.#rest());
  }

  /** Nobody has waited for a while. There may be many queues: it is made anew. */
  #rest(): void {
    Results.#all.get(this.#session)?.delete(this.#keys.folder);
    this.#watch?.close();
    this.#watch = undefined;
  }

  #listen(): Watch {
    const { dead, done } = this.#keys;
    // What is delayed comes between the two, and what tells of jobs that went.
    const range = { key: dead, end: prefixEnd(done) };
    this.#watch ??= this.#session.store.watch(range, this, { only: 'put' });
    return this.#watch;
  }

  /** What is known of a job already. */
  async #look(id: string, signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#session;
    const { done, dead, ready, delayed, aliases } = this.#keys;
    const places = [done, dead, ready, delayed, aliases].map((folder) => folder + id);
    const success = places.map((key, i) => ({ range: { key, keysOnly: i > 1 } }));
    // Who comes while it is on its way may have seen more.
    const waiters = [...(this.#waiting.get(id) ?? [])];
    const { replies, revision } = await persist(
      (limit) => store.commit({ success }, limit),
      signal,
      clock,
    );
    const found = replies.flatMap(({ kvs }) => kvs);
    const [end] = found.flatMap((kv) => this.#endIn(kv) ?? []);
    const reason = 'it is there no more, and left no result';
    for (const waiter of waiters) {
      if (found.length > 0) waiter.look(revision, end?.outcome);
      else waiter.miss(new JobFailedError(id, 'unknown', reason, []));
    }
  }

  /** Looks again and again while somebody waits. The function returned stops the timer. */
  #lookAtTimes(id: string, waiter: Waiter): () => void {
    const { clock, closing } = this.#session;
    const pause = new Backoff(...looks);
    let stop = nothing;
    const wait = (): void => {
      if (this.#waiting.get(id)?.has(waiter)) stop = clock.after(pause.next(), look);
    };
    const look = (): void => {
      this.#look(id, closing).then(wait, (error: unknown) => this.#fail(id, error));
    };
    wait();
    return () => stop();
  }

  /** Jobs may have gone without a trace: those of these names, or whichever. */
  #lookAgain(ids?: unknown): void {
    const { closing } = this.#session;
    for (const id of this.#waiting.keys()) {
      if (Array.isArray(ids) && !ids.includes(id)) continue;
      this.#look(id, closing).catch((error: unknown) => this.#fail(id, error));
    }
  }

  #fail(id: string, error: unknown): void {
    for (const waiter of this.#waiting.get(id) ?? []) waiter.fail(error);
  }

  /** How a job has ended, if this is what it left and somebody waits for that. */
  #endIn({ key: bytes, value }: KeyValue): { id: string; outcome: Outcome } | undefined {
    const { done, dead } = this.#keys;
    const key = keyId(bytes);
    const folder = [done, dead].find((each) => key.startsWith(each));
    const id = key.slice(folder?.length);
    if (!folder || !this.#waiting.has(id)) return undefined;
    return { id, outcome: outcomeOf(id, key, value, folder === dead) };
  }
}

function outcomeOf(id: string, key: string, bytes: Buffer, isDead: boolean): Outcome {
  return () => {
    const { header, value } = decodeRecord(key, bytes);
    const { cancelled, reason = 'no reason', history = [] } = header;
    if (cancelled) throw new JobCancelledError(id, cancelled.reason, cancelled.by);
    if (isDead) throw new JobFailedError(id, 'dead', reason, history);
    return jsonIn(value);
  };
}
