import type { HealthCheck } from '../core/health.js';
import { ArgumentError } from '../core/store/errors.js';
import type { WaitOptions } from '../core/time/signals.js';
import { milliseconds, nonEmpty } from '../core/validate.js';

/** Options of an election, for who stands by this object. */
export interface ElectionOptions {
  /**
   * How it is kept: `recipes` gives every name a folder of its own; `go` uses `<name>/`, sharing the election with Go's
   * `concurrency.Election` and `etcdctl elect`, first come first served. @defaultValue `'recipes'`
   */
  readonly layout?: 'recipes' | 'go';
  /** By which others transfer a term to us; not with `go`. @defaultValue one for each campaign: the last part of its key */
  readonly id?: string;
  /** Who has a larger one leads before others who wait; whoever leads is not disturbed. Not with `go`. @defaultValue 0 */
  readonly priority?: number;
  /**
   * Whether we are well: who is not does not stand, and gives a term up, whose `signal` aborts. A check that throws, or does
   * not answer within `healthInterval`, has failed. @defaultValue always
   */
  readonly healthy?: HealthCheck;
  /** Milliseconds between two checks. @defaultValue 1,000 */
  readonly healthInterval?: number;
}

/** Which term an event is about. */
export interface TermEvent {
  readonly name: string;
  readonly key: string;
  readonly token: bigint;
}

/** How `run` campaigns, and stops. */
export interface RunOptions extends WaitOptions {
  /**
   * How many milliseconds work may take to stop when its term is lost. Where contact was lost, nobody else leads before
   * `session.margin` has passed. @defaultValue 1,000
   */
  readonly stopWithin?: number;
  /**
   * What to do about work that takes longer, besides the event `overrun`: nothing, end the process (with exit code 1), or
   * whatever you do. Nobody campaigns here before the work has ended. @defaultValue `'event'`
   */
  readonly onOverrun?: 'event' | 'exit' | ((event: TermEvent) => void);
}

/** @throws ArgumentError if an option is not usable. */
export function checkElection(options: ElectionOptions): void {
  const { layout = 'recipes', id, priority, healthy, healthInterval = 1 } = options;
  if (layout !== 'recipes' && layout !== 'go') {
    throw new ArgumentError('layout', "'recipes' or 'go'", layout);
  }
  for (const [option, value] of Object.entries({ id, priority })) {
    if (layout === 'go' && value !== undefined) {
      throw new ArgumentError(option, "given with the layout 'recipes' only", value);
    }
  }
  if (id !== undefined) nonEmpty('id', id);
  if (priority !== undefined && !Number.isFinite(priority)) {
    throw new ArgumentError('priority', 'a finite number', priority);
  }
  if (healthy !== undefined && typeof healthy !== 'function') {
    throw new ArgumentError('healthy', 'a function', healthy);
  }
  milliseconds('healthInterval', healthInterval, 1);
}

/** @throws ArgumentError if an option is not usable. */
export function checkRun({ stopWithin = 0, onOverrun = 'event' }: RunOptions): void {
  milliseconds('stopWithin', stopWithin);
  if (onOverrun !== 'event' && onOverrun !== 'exit' && typeof onOverrun !== 'function') {
    throw new ArgumentError('onOverrun', "'event', 'exit' or a function", onOverrun);
  }
}
