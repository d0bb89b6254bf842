import type { Command } from 'commander';
import { Option } from 'commander';
import { ArgumentError } from '../core/errors.js';
import type { SessionOptions } from '../core/session.js';
import type { WaitOptions } from '../core/signals.js';
import type { MutexOptions } from '../lock/mutex.js';
import { type ConnectionFlags, withConnectionOptions } from './connection-options.js';
import { milliseconds } from './milliseconds.js';

/** What the command line says about a lock. */
export interface LockFlags extends ConnectionFlags, Required<Pick<MutexOptions, 'layout'>> {
  readonly try?: boolean;
  readonly wait?: number;
  readonly ttl: number;
  readonly killAfter?: number;
  readonly foreground?: boolean;
  readonly label?: string;
  readonly json?: boolean;
}

/** Where the keys of a lock are. */
export function layoutOption(): Option {
  const text = 'whose line to stand in: our own, or that of etcdctl lock and Go';
  return new Option('--layout <layout>', text).choices(['recipes', 'go']).default('recipes');
}

/** Adds the options of `lock`. */
export function withLockOptions(command: Command): Command {
  command
    .addOption(new Option('--try', 'give up at once if it is not our turn').conflicts(['wait']))
    .option('--wait <ms>', 'give up after so many milliseconds', milliseconds('--wait'))
    .option(
      '--ttl <ms>',
      'how long the lock outlives us if we vanish, in milliseconds',
      milliseconds('--ttl', 1_000),
      15_000,
    )
    .option(
      '--kill-after <ms>',
      'after a loss: from SIGTERM to SIGKILL, in milliseconds; default: a sixth of --ttl',
      milliseconds('--kill-after'),
    )
    .option(
      '--foreground',
      'leave the terminal to the command (passwords, editors); see the manual',
    )
    .option('--label <text>', 'who we are, for inspect')
    .option('--json', 'print key and token as JSON (without a command)')
    .addOption(layoutOption());
  return withConnectionOptions(command);
}

/** How to wait for the lock. */
export function waitOptions({ wait }: LockFlags, signal: AbortSignal): WaitOptions {
  return { signal, ...(wait !== undefined && { timeout: wait }) };
}

/** How long the command has to end after a loss, in milliseconds. */
export function graceOf({ ttl, killAfter = ttl / 6 }: LockFlags): number {
  return killAfter;
}

/**
 * The session: it gives up early enough for the command to be gone before etcd can give the lock away. The
 * library's own margin, at least a fifth of the TTL, is enough for up to a sixth.
 *
 * @throws ArgumentError if the time between SIGTERM and SIGKILL does not fit the TTL.
 */
export function sessionOptions(flags: LockFlags): SessionOptions {
  const { ttl, label } = flags;
  const margin = 1.2 * graceOf(flags);
  if (margin >= ttl / 2) {
    const limit = Math.ceil(ttl / 2.4);
    throw new ArgumentError(
      '--kill-after',
      `less than ${limit} with a --ttl of ${ttl}`,
      flags.killAfter,
    );
  }
  return { ttl, ...(margin > ttl / 5 && { margin }), ...(label !== undefined && { label }) };
}
