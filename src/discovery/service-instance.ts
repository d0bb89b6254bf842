import { ArgumentError } from '../core/store/errors.js';
import { nonEmpty } from '../core/validate.js';
import type { Instance } from './instance.js';

/**
 * - `up`: it takes work;
 * - `draining`: it ends what it has, and takes nothing new;
 * - `unhealthy`: its own health check has failed.
 */
export type InstanceState = 'up' | 'draining' | 'unhealthy';

/** All states there are. */
export const instanceStates: readonly InstanceState[] = ['up', 'draining', 'unhealthy'];

/** An instance as it is registered. It never changes: do not change it either, others see the same. */
export interface ServiceInstance extends Instance {
  /** Whether it takes work, as it says itself. */
  readonly state: InstanceState;
}

/** What an instance is known by, besides its ID. */
export type InstanceFields = Omit<ServiceInstance, 'id'>;

/** Passes what an instance is known by, without what does not belong to it, or throws. @throws ArgumentError */
export function checkFields(fields: InstanceFields): InstanceFields {
  const { address, tags, zone, version, weight, metadata, state } = fields;
  nonEmpty('address', address);
  if (tags !== undefined && !(Array.isArray(tags) && tags.every(isText))) {
    throw new ArgumentError('tags', 'an array of strings', tags);
  }
  for (const [option, value] of Object.entries({ zone, version })) {
    if (value !== undefined && !isText(value)) throw new ArgumentError(option, 'a string', value);
  }
  if (weight !== undefined && !(Number.isFinite(weight) && weight >= 0)) {
    throw new ArgumentError('weight', 'a finite number from 0', weight);
  }
  if (metadata !== undefined && !isRecord(metadata)) {
    throw new ArgumentError('metadata', 'an object that JSON can carry', metadata);
  }
  if (!instanceStates.includes(state)) {
    throw new ArgumentError('state', `one of ${instanceStates.join(', ')}`, state);
  }
  return {
    address,
    ...(tags !== undefined && { tags }),
    ...(zone !== undefined && { zone }),
    ...(version !== undefined && { version }),
    ...(weight !== undefined && { weight }),
    ...(metadata !== undefined && { metadata }),
    state,
  };
}

/** Whether a value is an object of which JSON makes one. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  try {
    return typeof value === 'object' && JSON.stringify(value).startsWith('{');
  } catch {
    return false;
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
