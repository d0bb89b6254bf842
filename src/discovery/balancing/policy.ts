import { ArgumentError } from '../../core/store/errors.js';
import { Draws } from './draws.js';
import type { Member } from './member.js';
import { Sticky } from './sticky.js';
import { Turns } from './turns.js';

/**
 * Who is picked:
 * - `round-robin`: one after the other, each as often;
 * - `weighted`: the same, each as often as its weight says, and evenly spread;
 * - `random`: any, each as likely;
 * - `least-loaded`: of two at random the one with fewer calls in flight from here, for its weight; of idle ones by weight;
 * - `sticky`: for a key always the same, as long as it is there; shares of the keys go by weight.
 */
export type PolicyName = 'round-robin' | 'weighted' | 'random' | 'least-loaded' | 'sticky';

/** What the caller wants of a pick. */
export interface PickOptions {
  /** What is to go to the same instance each time: for `sticky`, which needs it; others do not look at it. */
  readonly key?: string;
  /** IDs of instances not to be picked. @defaultValue none */
  readonly avoid?: ReadonlySet<string>;
}

/** Picks one of many. */
export interface Policy {
  /** Those to pick from, from now on. Each has a weight above 0. */
  use(members: readonly Member[]): void;
  /** One that is not to be avoided; `undefined` if there is none. */
  pick(options: PickOptions): Member | undefined;
}

/** Makes one. @throws ArgumentError if there is none of this name. */
export function policyOf(name: PolicyName, random: () => number): Policy {
  switch (name) {
    case 'round-robin':
      return new Turns(() => 1, random);
    case 'weighted':
      return new Turns(({ weight }) => weight, random);
    case 'random':
      return new Draws(1, random);
    case 'least-loaded':
      return new Draws(2, random);
    case 'sticky':
      return new Sticky();
    default:
      throw new ArgumentError(
        'policy',
        'round-robin, weighted, random, least-loaded or sticky',
        name,
      );
  }
}
