import { CoordinationError } from '../core/store/errors.js';
import type { Amount } from '../namespace/contents.js';
import type { Quota } from './tenant-record.js';

/** A tenant may not have as much as this write needs: nothing of it was applied. */
export class QuotaError extends CoordinationError {
  readonly tenant: string;
  /** How much it may have. */
  readonly limit: Quota;
  /** How much it has, with what others of its processes are about to write. */
  readonly usage: Amount;

  constructor(tenant: string, limit: Quota, usage: Amount) {
    const said = (['keys', 'bytes'] as const)
      .filter((what) => limit[what] !== undefined)
      .map((what) => `${usage[what]} of ${limit[what]} ${what}`);
    super('ERR_QUOTA', `tenant ${tenant} has no room left for this write: ${said.join(', ')}`);
    this.tenant = tenant;
    this.limit = limit;
    this.usage = usage;
  }
}
