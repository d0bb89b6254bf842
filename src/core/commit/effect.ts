import type { WriteOutcome } from '../store/errors.js';
import type { Operation, Txn } from '../store/store.js';

/**
 * What is known of the effect of a transaction that ran, without its reply: whether it wrote, where all ways that it may have
 * taken agree on that.
 *
 * @param succeeded - whether its conditions held, if that is known
 */
export function effectOf(
  { compare = [], success = [], failure = [] }: Txn,
  succeeded: boolean | undefined = compare.length === 0 || undefined,
): WriteOutcome {
  if (succeeded !== undefined) return effectOfAll(succeeded ? success : failure);
  const [effect, other] = [effectOfAll(success), effectOfAll(failure)];
  return effect === other ? effect : 'unknown';
}

function effectOfAll(steps: readonly Operation[]): WriteOutcome {
  const effects = new Set(steps.map(effectOfStep));
  if (effects.has('applied')) return 'applied';
  return effects.has('unknown') ? 'unknown' : 'not-applied';
}

function effectOfStep(step: Operation): WriteOutcome {
  if ('txn' in step) return effectOf(step.txn);
  return 'range' in step ? 'not-applied' : 'applied';
}
