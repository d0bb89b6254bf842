import { ArgumentError } from '../core/errors.js';
import type { LineEntry } from '../core/line.js';
import type { MutexOptions, MutexState } from '../lock/mutex.js';
import { type ConnectionFlags, open } from './connection-options.js';
import { EXIT } from './exit-codes.js';
import { type Place, tableOf } from './line-table.js';
import { print } from './output.js';

/** What the command line says about what to show. */
export interface InspectFlags extends ConnectionFlags, Required<Pick<MutexOptions, 'layout'>> {
  readonly json?: boolean;
}

/** `inspect`: shows who holds a lock and who waits for it. Resolves to the exit status. */
export async function inspect(name: string, flags: InspectFlags): Promise<number> {
  if (name === '') throw new ArgumentError('NAME', 'a non-empty string', name);
  const { holder, waiters } = await stateOf(name, flags);
  const entries = holder ? [holder, ...waiters] : [];
  const line = entries.map((entry) => placeOf(entry, flags.namespace ?? ''));
  await print(flags.json ? jsonOf(name, line) : textOf(name, line));
  return EXIT.done;
}

async function stateOf(name: string, flags: InspectFlags): Promise<MutexState> {
  const { namespace, layout } = flags;
  const coordinator = await open(flags);
  try {
    const view = namespace === undefined ? coordinator : coordinator.namespace(namespace);
    return await view.mutex(name, { layout }).inspect();
  } finally {
    await coordinator.close(0);
  }
}

/**
 * Numbers above 2^53 do not survive most readers of JSON, so the token is text; the lease is in hex, as etcdctl
 * shows and takes it.
 */
function placeOf({ key, token, lease, owner, age }: LineEntry, prefix: string): Place {
  return {
    host: owner?.host ?? null,
    pid: owner?.pid ?? null,
    label: owner?.label ?? null,
    age: age ?? null,
    token: String(token),
    lease: lease.toString(16),
    key: `${prefix}${key}`,
  };
}

function textOf(name: string, line: readonly Place[]): string {
  return line.length === 0 ? `nobody holds ${name}` : tableOf(line);
}

function jsonOf(name: string, [holder, ...waiters]: readonly Place[]): string {
  return JSON.stringify({ name, holder: holder ?? null, waiters }, undefined, 2);
}
