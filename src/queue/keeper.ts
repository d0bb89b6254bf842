import { Line } from '../core/line/line.js';
import type { Session } from '../core/session/session.js';
import { ClosedError, isLoss } from '../core/store/errors.js';
import { prefixRange } from '../core/store/keys.js';
import { Backoff } from '../core/time/backoff.js';
import { waitScope } from '../core/time/signals.js';
import { WeakValues } from '../core/weak-values.js';
import { Delays } from './delays.js';
import type { Tools } from './desk.js';
import { Expiries } from './expiries.js';
import { KeeperHold } from './keeper-hold.js';
import { Keeping } from './keeping.js';
import { linger } from './linger.js';
import { Outbox } from './outbox.js';
import type { QueueKeys } from './queue-keys.js';
import type { Retention } from './queue-options.js';
import { TimeListener } from './queue-time.js';
import { Repeats } from './repeats.js';
import { Rests } from './rests.js';
import { Sweeper } from './sweeper.js';

const nothing = (): void => {};
const holdOf = (...args: ConstructorParameters<typeof KeeperHold>): KeeperHold =>
  new KeeperHold(...args);

/** Who takes jobs here, and so wants the queue to be kept. */
export interface Party {
  /** Which one it is. */
  readonly id: symbol;
  /** What is to be kept of jobs that came to an end. */
  readonly retention: Retention;
  /** The wall clock of the last keeper is so many milliseconds ahead of ours. */
  onSkew(ahead: number): void;
  /** The queue could not be kept; it is tried again. */
  onError(error: unknown): void;
}

/**
 * Sees to what is to happen in a queue in time, in one of the processes that take its jobs: they stand in line for it, and
 * whoever is lost is followed by the next. What it writes takes effect only while it is the keeper.
 */
export class Keeper {
  static readonly #all = new WeakMap<Session, WeakValues<string, Keeper>>();
  readonly #session: Session;
  readonly #keys: QueueKeys;
  readonly #line: Line;
  readonly #time: TimeListener;
  /** Who takes jobs, or did and may again: what he wants kept is kept until nobody has him any more. */
  readonly #parties = new WeakValues<symbol, Party>();
  /** How many take jobs now. */
  #demand = 0;
  #stop: AbortController | undefined;
  #stopLinger = nothing;

  private constructor(session: Session, name: string, keys: QueueKeys) {
    this.#session = session;
    this.#keys = keys;
    const lanes = [{ folder: keys.keepers, rivals: prefixRange(keys.keepers) }] as const;
    this.#line = new Line(session, { recipe: 'queue', verb: 'keep', name, lanes, holdOf });
    this.#time = new TimeListener(session.clock, keys.time, (ahead) =>
      this.#tell((party) => party.onSkew(ahead)),
    );
  }

  /** The one shared by all in this process who use the same session: it knows of each what he wants kept as long as one has it. */
  static at(session: Session, name: string, keys: QueueKeys): Keeper {
    const all = Keeper.#all.get(session) ?? new WeakValues<string, Keeper>();
    Keeper.#all.set(session, all);
    return all.at(keys.folder, () => new Keeper(session, name, keys));
  }

  /** Takes part as long as somebody takes jobs here, and a little longer. The function returned says that `party` does no more. */
  join(party: Party): () => void {
    this.#parties.at(party.id, () => party);
    this.#demand += 1;
    this.#stopLinger();
    if (!this.#stop) void this.#run((this.#stop = new AbortController()));
    return () => {
      this.#demand -= 1;
      if (this.#demand > 0) return;
      this.#stopLinger = linger(this.#session, () => this.#rest());
    };
  }

  /** Nobody has taken jobs for a while. */
  #rest(): void {
    this.#stop?.abort();
    this.#stop = undefined;
  }

  #tell(tell: (party: Party) => void): void {
    for (const party of this.#parties) tell(party);
  }

  async #run(stop: AbortController): Promise<void> {
    const { closing, clock } = this.#session;
    const scope = waitScope({ signal: stop.signal }, closing, clock);
    const { signal } = scope;
    const pause = new Backoff(100, 5_000);
    while (!signal.aborted) {
      try {
        await this.#takeTurn(signal, () => pause.reset());
      } catch (error) {
        if (signal.aborted || error instanceof ClosedError) break;
        if (!isLoss(error)) this.#tell((party) => party.onError(error));
        await clock.sleep(pause.next(), signal).catch(() => {});
      }
    }
    scope.dispose();
  }

  /** Waits in line, and keeps the queue until that fails. */
  async #takeTurn(stop: AbortSignal, begun: () => void): Promise<never> {
    const { store, closing, clock } = this.#session;
    const watch = store.watch({ key: this.#keys.time }, this.#time);
    watch.ready.catch(nothing);
    try {
      const onWaiting = (): void => this.#time.waits();
      const hold = (await this.#line.enter({ signal: stop }, onWaiting, nothing)) as KeeperHold;
      const ends = waitScope({ signal: hold.signal }, stop, clock);
      try {
        return await this.#keep(hold, ends.signal, begun);
      } finally {
        ends.dispose();
        // The lease takes it along otherwise.
        if (!closing.aborted) await hold.release();
      }
    } finally {
      watch.close();
    }
  }

  async #keep(hold: KeeperHold, signal: AbortSignal, begun: () => void): Promise<never> {
    const session = this.#session;
    const keys = this.#keys;
    const { revision, kvs } = await session.store.read({ key: keys.time }, { signal });
    const time = this.#time.takeOver(kvs[0]);
    const outbox = Outbox.at(session.store, keys, session.clock);
    const tools: Tools = { session, keys, hold, time, outbox, signal };
    const retentions = (): Retention[] => [...this.#parties].map(({ retention }) => retention);
    const duties = [
      new Delays(tools),
      new Rests(tools),
      new Expiries(tools),
      new Repeats(tools),
      new Sweeper(tools, 'done', retentions),
      new Sweeper(tools, 'dead', retentions),
    ];
    return new Keeping(tools, duties, begun).run(revision);
  }
}
