import {
  ArgumentError,
  ClosedError,
  CoordinationError,
  WaitTimeoutError,
} from '../core/store/errors.js';
import { systemClock } from '../core/time/clock.js';
import { abortable, type WaitOptions, waitScope } from '../core/time/signals.js';
import { tap } from './tap.js';

/** The names of the events in a map of events to listeners. */
export type EventName<Events> = Extract<keyof Events, string>;

/** What listeners of an event are called with. */
export type EventArguments<Events, Name extends keyof Events> = Events[Name] extends (
  ...args: infer Arguments
) => unknown
  ? Arguments
  : never;

/** What emits events of its own, as a recipe does, such as a `Mutex`. */
export interface EventEmitting<Events> {
  readonly eventMap?: Events;
  emit(...event: never[]): boolean;
}

/** A recipe, or a session, whose views have one emitter. */
export type EventSource<Events> =
  | EventEmitting<Events>
  | { readonly emitter: EventEmitting<Events> };

/** One event, as it was emitted. */
export type RecordedEvent<Events> = {
  [Name in EventName<Events>]: {
    readonly name: Name;
    /** What its listeners were called with. */
    readonly args: EventArguments<Events, Name>;
  };
}[EventName<Events>];

/** What a session or recipe has emitted since the recording began. */
export interface EventRecording<Events> extends Disposable {
  /** Every event, in order. */
  readonly all: readonly RecordedEvent<Events>[];
  /** The arguments of every event of this name, in order. */
  of<Name extends EventName<Events>>(name: Name): EventArguments<Events, Name>[];
  /**
   * The arguments of the next event of this name: of the first that `next` has not given yet, at once, if there is one;
   * otherwise waits for it. `timeout` is in milliseconds of real time; without it, 10,000.
   *
   * @throws CoordinationError with code `ERR_WAIT_TIMEOUT` after `timeout`; it lists the events that came.
   * @throws the reason of `signal` when it aborts.
   * @throws ClosedError if it has not come when the recording is stopped.
   */
  next<Name extends EventName<Events>>(
    name: Name,
    wait?: WaitOptions,
  ): Promise<EventArguments<Events, Name>>;
  /** Forgets all that was recorded. */
  clear(): void;
  /** Records no more, and leaves the emitter as it was; what was recorded stays. The end of a `using` block does the same. */
  stop(): void;
}

/**
 * Records every event of a session, or of a recipe such as a `Mutex`, from now on. Listeners hear them as ever.
 *
 * @throws ArgumentError if `source` emits no events.
 */
export function recordEvents<Events>(source: EventSource<Events>): EventRecording<Events> {
  const emitter: object = 'emitter' in Object(source) ? Reflect.get(source, 'emitter') : source;
  if (typeof Reflect.get(Object(emitter), 'emit') !== 'function') {
    throw new ArgumentError('source', 'a session or a recipe', source);
  }
  return new Recorder<Events>(emitter);
}

class Recorder<Events> implements EventRecording<Events> {
  #all: RecordedEvent<Events>[] = [];
  /** Events that `next` has given. */
  #consumed = new Set<RecordedEvent<Events>>();
  /** Calls of `next` that wait. */
  readonly #waiting = new Set<() => void>();
  readonly #removeTap: () => void;
  readonly #stopped = new AbortController();

  constructor(emitter: object) {
    this.#removeTap = tap(emitter, (name, args) => {
      this.#all.push({ name, args } as unknown as RecordedEvent<Events>);
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      for (const lookAgain of waiting) lookAgain();
    });
  }

  get all(): readonly RecordedEvent<Events>[] {
    return [...this.#all];
  }

  of<Name extends EventName<Events>>(name: Name): EventArguments<Events, Name>[] {
    return this.#all.filter((event) => event.name === name).map((event) => this.#argsOf(event));
  }

  async next<Name extends EventName<Events>>(
    name: Name,
    { timeout = 10_000, signal }: WaitOptions = {},
  ): Promise<EventArguments<Events, Name>> {
    const limits = { timeout, ...(signal && { signal }) };
    const scope = waitScope(limits, this.#stopped.signal, systemClock);
    try {
      for (;;) {
        const event = this.#all.find((each) => each.name === name && !this.#consumed.has(each));
        if (event) {
          this.#consumed.add(event);
          return this.#argsOf(event);
        }
        await abortable(this.#nextEvent(), scope.signal);
      }
    } catch (error) {
      if (!(error instanceof WaitTimeoutError) || signal?.aborted) throw error;
      const others = this.#all.map((event) => event.name).join(', ') || 'none';
      const message = `no further event '${name}' within ${timeout} ms; recorded: ${others}`;
      throw new CoordinationError('ERR_WAIT_TIMEOUT', message);
    } finally {
      scope.dispose();
    }
  }

  clear(): void {
    this.#all = [];
    this.#consumed.clear();
  }

  stop(): void {
    this.#removeTap();
    this.#stopped.abort(new ClosedError('recording'));
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #argsOf<Name extends EventName<Events>>(
    event: RecordedEvent<Events>,
  ): EventArguments<Events, Name> {
    return event.args;
  }

  #nextEvent(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add(resolve);
    });
  }
}
