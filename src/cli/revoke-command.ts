import type { LineEntry } from '../core/line/line.js';
import { nonEmpty } from '../core/validate.js';
import { atPlace } from './at-place.js';
import { EXIT } from './exit-codes.js';
import { type KindFlags, revocable } from './kinds.js';
import { placeOf, tableOf } from './line-table.js';
import { print } from './output.js';

/** What the command line says about whom to have give something back. */
export interface RevokeFlags extends KindFlags {
  readonly reason: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `revoke`: asks who holds a lock or leads to give it back, or takes it from them. Resolves to the exit status. */
export async function revoke(name: string, flags: RevokeFlags): Promise<number> {
  nonEmpty('NAME', name);
  const { reason, force, json, namespace, kind } = flags;
  const reached: LineEntry[] = [];
  await atPlace(flags, async (place) => {
    for (const each of revocable(place, name, flags)) {
      reached.push(...(await (force ? each.forceRelease(reason) : each.requestRevoke(reason))));
    }
  });
  const holders = reached.map((entry) => placeOf(entry, namespace));
  const [part, verb] = kind === 'election' ? ['leader', 'leads'] : ['holder', 'holds'];
  const rows = holders.map((holder) => ({ position: part, ...holder }));
  const text = rows.length > 0 ? tableOf(rows) : `nobody ${verb} ${name}`;
  const done = force ? 'released' : 'asked';
  await print(json ? JSON.stringify({ name, [done]: holders }, undefined, 2) : text);
  return EXIT.done;
}
