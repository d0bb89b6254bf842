import { ArgumentError } from '../core/store/errors.js';
import { milliseconds, nonEmpty } from '../core/validate.js';
import { type InstanceState, instanceStates, type ServiceInstance } from './service-instance.js';

/** Which instances a directory shows, and how old what it knows may be. */
export interface DirectoryOptions {
  /** Those that have all of these. @defaultValue whatever they have */
  readonly tags?: readonly string[];
  /** Those that run there. @defaultValue anywhere */
  readonly zone?: string;
  /** Those of this version, or of one that begins with these parts: `2.1` shows `2.1` and `2.1.7`, not `2.10`. @defaultValue any */
  readonly version?: string;
  /** Those in one of these states. @defaultValue `['up']` */
  readonly states?: readonly InstanceState[];
  /** Milliseconds without proof that nothing is missing until it is `stale`; it goes on to show what it has. @defaultValue 10,000 */
  readonly staleAfter?: number;
  /** After so many milliseconds without proof, at least `staleAfter`, it shows nothing any more, until it is current again. @defaultValue never */
  readonly invalidateAfter?: number;
}

/** What became of an instance, as a directory shows it: whose state or tags changed may come or go. */
export type DirectoryChange =
  | {
      readonly type: 'added';
      readonly instance: ServiceInstance;
      readonly previous?: undefined;
    }
  | {
      readonly type: 'changed';
      readonly instance: ServiceInstance;
      readonly previous: ServiceInstance;
    }
  | {
      readonly type: 'removed';
      readonly instance?: undefined;
      readonly previous: ServiceInstance;
    };

/** Changes that lead from one state to a later one: apply them together. */
export interface DirectoryStep {
  /** The revision of the state they lead to. */
  readonly revision: bigint;
  /** One for each instance that is not as it was; in the first step all that there are. */
  readonly changes: readonly DirectoryChange[];
}

/** What happens to a directory. When it is told, `instances()` has it, unless nothing is shown for the time being: see `invalidateAfter`. */
export interface DirectoryEvents {
  added: (instance: ServiceInstance) => void;
  changed: (instance: ServiceInstance, previous: ServiceInstance) => void;
  /** `previous` is the last that there was. */
  removed: (previous: ServiceInstance) => void;
  /** It may be behind by more than `staleAfter`. */
  stale: () => void;
  /** It is not stale any more. */
  current: () => void;
  /** What is under the key of `id` cannot be read, and is left out; without `id`, the directory has failed, and is tried again. */
  error: (error: unknown, id?: string) => void;
}

/** Which instances are shown. */
export interface Filter {
  /** The same only for the same filter. */
  readonly id: string;
  readonly shows: (instance: ServiceInstance) => boolean;
}

/** Checks all options. @throws ArgumentError if an option is not usable. */
export function filterOf(options: DirectoryOptions): Filter {
  const { tags = [], zone, version, states = ['up'], staleAfter = 10_000 } = options;
  if (!(Array.isArray(tags) && tags.every((tag) => typeof tag === 'string'))) {
    throw new ArgumentError('tags', 'an array of strings', tags);
  }
  if (!(Array.isArray(states) && states.every((state) => instanceStates.includes(state)))) {
    throw new ArgumentError('states', `an array of ${instanceStates.join(', ')}`, states);
  }
  for (const [option, value] of Object.entries({ zone, version })) {
    if (value !== undefined) nonEmpty(option, value);
  }
  milliseconds('staleAfter', staleAfter, 1);
  milliseconds('invalidateAfter', options.invalidateAfter ?? staleAfter, staleAfter);
  return {
    id: JSON.stringify([tags, zone, version, states]),
    shows: (instance) =>
      states.includes(instance.state) &&
      (zone === undefined || instance.zone === zone) &&
      (version === undefined || `${instance.version}.`.startsWith(`${version}.`)) &&
      tags.every((tag) => instance.tags?.includes(tag)),
  };
}
