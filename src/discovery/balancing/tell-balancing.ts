import { tell } from '../../core/trace.js';
import type { InstanceSource } from '../instance.js';

/** What a balancer does, as all who listen to balancers are told. */
export type BalancingEvent =
  | 'succeeded'
  | 'failed'
  | 'abandoned'
  | 'none'
  | 'retried'
  | 'exhausted'
  | 'ejected'
  | 'returned';

/** Tells them that it was done, with what belongs to it. */
export function tellBalancing(
  { name = '' }: InstanceSource,
  event: BalancingEvent,
  ...args: readonly unknown[]
): void {
  tell('event', () => ({ recipe: 'balancer', name, event, args }));
}
