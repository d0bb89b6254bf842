import type { Session } from '../core/session/session.js';
import { ArgumentError } from '../core/store/errors.js';
import { folderOf, prefixRange } from '../core/store/keys.js';
import { nonEmpty } from '../core/validate.js';
import { Lock } from './lock.js';

/** Two operations for each go into one transaction, of which etcd takes 128. */
const most = 60;

/**
 * Several mutexes as one: held all at once, or none. They are the mutexes of these names, for whoever uses one alone or others
 * with it. All places in their lines are taken in one step, so nobody who waits for several can wait for somebody who waits
 * for him, whatever the order of the names.
 */
export class MultiLock extends Lock {
  /** The names, without repetitions. */
  readonly names: readonly string[];

  /** @throws ArgumentError if there is no name, or an empty one. */
  constructor(session: Session, names: readonly string[]) {
    const distinct = Array.isArray(names) ? [...new Set(names)] : [];
    if (distinct.length === 0 || distinct.length > most) {
      throw new ArgumentError('names', `a list of 1 to ${most} names`, names);
    }
    const lanes = distinct.map((name) => {
      const folder = folderOf('mutex', nonEmpty('names', name));
      return { folder, rivals: prefixRange(folder) };
    });
    const [first, ...others] = lanes as [(typeof lanes)[0], ...typeof lanes];
    super(session, {
      recipe: 'multi-lock',
      verb: 'acquire',
      name: distinct.join(' + '),
      lanes: [first, ...others],
    });
    this.names = distinct;
  }
}
