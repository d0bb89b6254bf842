import {
  type Channel,
  channel as channelOf,
  type TracingChannel,
  tracingChannel,
} from 'node:diagnostics_channel';
import type { LossReason } from './store/errors.js';

/** What takes time, by the name of its tracing channel after `etcd-recipes:`. */
export interface Traces {
  /** One attempt of a call at one endpoint. */
  rpc: {
    /** As in etcd's API, such as `KV/Range`. */
    readonly method: string;
    /** As it was configured or found. */
    readonly endpoint: string;
    /** Whether it asks if the endpoint is well, rather than for what a caller wants. */
    readonly probe: boolean;
  };
  /** A verb of a recipe that waits for its turn. */
  wait: {
    /** What is waited for, such as `mutex`. */
    readonly recipe: string;
    /** Such as `acquire`. */
    readonly verb: string;
    /** The name under which processes meet. */
    readonly name: string;
  };
}

/** What happens, by the name of its channel after `etcd-recipes:`. */
export interface Notes {
  /** An attempt failed in a way that lets the call go on with another while there is time. */
  retry: { readonly endpoint: string; readonly error: unknown };
  /** An endpoint failed and is passed over, or is so no longer. */
  endpoint: { readonly endpoint: string; readonly state: 'aside' | 'back' };
  /** So many commits travelled together; 1 for one that was alone. */
  batch: { readonly size: number };
  /** A stream broke, could not be opened, or was left for another endpoint. */
  restart: {
    readonly stream: 'watch' | 'keep-alive';
    readonly endpoint: string;
    readonly error: unknown;
  };
  /** Up to this revision, changes that a watch had yet to see were compacted; 0 if etcd does not say which. */
  gap: { readonly revision: bigint };
  /** A job of a queue was tried to claim, and `won`, unless another process was faster. */
  claim: { readonly name: string; readonly won: boolean };
  /** How many jobs of a queue there are in each state, whenever somebody here asks. */
  queue: {
    readonly name: string;
    readonly ready: number;
    readonly claimed: number;
    readonly resting: number;
    readonly delayed: number;
    readonly dead: number;
    readonly done: number;
  };
  /**
   * What this process has done with a job: `waited` milliseconds after it was put, by the wall clocks of both, it was taken, and
   * `worked` milliseconds after that it was done with.
   */
  job: {
    readonly name: string;
    readonly event: 'put' | 'taken' | 'done' | 'returned' | 'dead' | 'lost';
    readonly waited?: number;
    readonly worked?: number;
  };
  /** A lease was renewed when so many milliseconds were left until what hangs on it would have been given up. */
  renewal: { readonly lease: bigint; readonly left: number };
  /** What became of a session, with what its own events say: why it was lost or suspended, how long all stood still. */
  session: {
    readonly event: 'opened' | 'suspended' | 'resumed' | 'stalled' | 'lost' | 'reopened' | 'closed';
    readonly reason?: LossReason;
    readonly error?: unknown;
    readonly ms?: number;
  };
  /** What became of a registration, a membership or a partitioner, by the name of its event; or of what a balancer did. */
  event: {
    readonly recipe: 'service' | 'group' | 'partitioner' | 'balancer';
    /** The name under which processes meet; of a balancer, that of its service. */
    readonly name: string;
    readonly event: string;
    /** What listeners to the event get. */
    readonly args: readonly unknown[];
  };
  /** A live copy of a range has changed, or become stale, current, or of no use to anybody any more. */
  view: {
    /** The prefix or key that is copied, as its namespace has it. */
    readonly view: string;
    /** The same for each note of one copy, which all views of a process share that look at the same in the same way. */
    readonly copy: object;
    /** How many there are; 0 at the end. */
    readonly keys: number;
    readonly isStale: boolean;
    /** What became of keys, after the first state. */
    readonly changes: readonly { readonly type: 'added' | 'changed' | 'removed' }[];
  };
  /** A hold ended `held` milliseconds after it was granted: given back, or lost. */
  hold: {
    readonly recipe: string;
    readonly name: string;
    readonly held: number;
    readonly lost: LossReason | undefined;
  };
}

/** How traced work ended. */
export interface Outcome {
  readonly result?: unknown;
  /** Is there if it failed. */
  readonly error?: unknown;
}

type Tracing<What extends keyof Traces> = TracingChannel<unknown, Traces[What]>;

const tracings = new Map<keyof Traces, Tracing<keyof Traces>>();
const channels = new Map<keyof Notes, Channel>();

/** The channel `etcd-recipes:<what>` of what takes time. */
export function tracing<What extends keyof Traces>(what: What): Tracing<What> {
  let found = tracings.get(what);
  if (!found) {
    found = tracingChannel(`etcd-recipes:${what}`);
    tracings.set(what, found);
  }
  return found as Tracing<What>;
}

/** Runs `work`; who listens to `etcd-recipes:<what>` is told of its begin and end. `trace` is called only if somebody does. */
export function traced<T, What extends keyof Traces>(
  what: What,
  trace: () => Traces[What],
  work: () => Promise<T>,
): Promise<T> {
  const found = tracing(what);
  return found.hasSubscribers ? found.tracePromise(work, trace()) : work();
}

/** Tells who listens to `etcd-recipes:<what>`. `note` is called only if somebody does. */
export function tell<What extends keyof Notes>(what: What, note: () => Notes[What]): void {
  const channel = noting(what);
  if (channel.hasSubscribers) channel.publish(note());
}

/** Calls `begun` when something begins, and what that gives when it ends. The function returned takes it back. */
export function onTraced<What extends keyof Traces>(
  what: What,
  begun: (trace: Traces[What]) => (outcome: Outcome) => void,
): () => void {
  const { start, asyncEnd } = tracing(what);
  // Kept on the message, as a weak map of so many that live so shortly would cost more than all the rest.
  const ended = Symbol(what);
  type Message = Traces[What] & Outcome & { [ended]?: (outcome: Outcome) => void };
  const begin = (message: unknown): void => {
    (message as Message)[ended] = begun(message as Message);
  };
  const end = (message: unknown): void => (message as Message)[ended]?.(message as Message);
  start.subscribe(begin);
  asyncEnd.subscribe(end);
  return () => {
    start.unsubscribe(begin);
    asyncEnd.unsubscribe(end);
  };
}

/** Calls `listener` with what is told. The function returned takes it back. */
export function onTold<What extends keyof Notes>(
  what: What,
  listener: (note: Notes[What]) => void,
): () => void {
  const hear = (note: unknown): void => listener(note as Notes[What]);
  const channel = noting(what);
  channel.subscribe(hear);
  return () => channel.unsubscribe(hear);
}

function noting(what: keyof Notes): Channel {
  let found = channels.get(what);
  if (!found) {
    found = channelOf(`etcd-recipes:${what}`);
    channels.set(what, found);
  }
  return found;
}
