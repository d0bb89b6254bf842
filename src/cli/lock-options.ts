import type { Command } from 'commander';
import { Option } from 'commander';
import type { SessionOptions } from '../core/session/session.js';
import { ArgumentError } from '../core/store/errors.js';
import type { WaitOptions } from '../core/time/signals.js';
import type { ElectionOptions } from '../election/election-options.js';
import type { MutexOptions } from '../lock/mutex.js';
import { type ConnectionFlags, withConnectionOptions } from './connection-options.js';
import { milliseconds, number, whole } from './numbers.js';

/** More permits than anybody has. */
export const most: number = Number.MAX_SAFE_INTEGER;

/** What the command line says about something to be held. */
export interface HoldFlags extends ConnectionFlags {
  readonly try?: boolean;
  readonly wait?: number;
  readonly ttl: number;
  readonly killAfter?: number;
  readonly foreground?: boolean;
  readonly label?: string;
  readonly json?: boolean;
}

/** What the command line says about a lock. */
export interface LockFlags extends HoldFlags, Required<Pick<MutexOptions, 'layout'>> {
  readonly read?: boolean;
  readonly write?: boolean;
}

/** What the command line says about a term. */
export interface ElectFlags extends HoldFlags, Required<Pick<ElectionOptions, 'layout'>> {
  readonly priority?: number;
  readonly again?: boolean;
}

/** What the command line says about permits. */
export interface SemaphoreFlags extends HoldFlags {
  readonly permits: number;
  readonly limit?: number;
}

/** Where the keys of a lock are. */
export function layoutOption(): Option {
  const text = 'whose line to stand in: our own, or that of etcdctl and Go';
  return new Option('--layout <layout>', text).choices(['recipes', 'go']).default('recipes');
}

/** Adds the options of `lock`. */
export function withLockOptions(command: Command): Command {
  const others = ['layout', 'read', 'write'];
  const side = (name: 'read' | 'write', text: string): Option =>
    new Option(`--${name}`, text).conflicts(others.filter((other) => other !== name));
  return withHoldOptions(command)
    .addOption(layoutOption())
    .addOption(side('read', 'of a read/write lock: beside other readers'))
    .addOption(side('write', 'of a read/write lock: alone'));
}

/** Adds the options of `semaphore`. */
export function withSemaphoreOptions(command: Command): Command {
  return withHoldOptions(command)
    .option('--permits <number>', 'how many permits to take', whole('--permits', 1, most), 1)
    .option(
      '--limit <number>',
      'how many there are; needed by the first, checked if others give it',
      whole('--limit', 1, most),
    );
}

/** Adds the options of `elect`. */
export function withElectOptions(command: Command): Command {
  return withHoldOptions(command)
    .addOption(layoutOption())
    .addOption(
      new Option(
        '--priority <number>',
        'who has a larger one leads before others who wait',
      ).argParser(number('--priority')),
    )
    .option('--again', 'campaign again, and run the command anew, whenever the term is lost');
}

/** How long to wait at most. */
export function waitOption(): Option {
  const text = 'give up after so many milliseconds';
  return new Option('--wait <ms>', text).argParser(milliseconds('--wait'));
}

/** How long others wait for us if we vanish. */
export function ttlOption(): Option {
  const text = 'how long our place outlives us if we vanish, in milliseconds';
  return new Option('--ttl <ms>', text).argParser(milliseconds('--ttl', 1_000)).default(15_000);
}

/** How long the command has to end; `what` says when. */
export function killAfterOption(what: string): Option {
  const text = `${what}, in milliseconds; default: a sixth of --ttl`;
  return new Option('--kill-after <ms>', text).argParser(milliseconds('--kill-after'));
}

/** Who we are. */
export function labelOption(): Option {
  return new Option('--label <text>', 'who we are, for inspect');
}

function withHoldOptions(command: Command): Command {
  command
    .addOption(new Option('--try', 'give up at once if it is not our turn').conflicts(['wait']))
    .addOption(waitOption())
    .addOption(ttlOption())
    .addOption(killAfterOption('after a loss: from SIGTERM to SIGKILL'))
    .option(
      '--foreground',
      'leave the terminal to the command (passwords, editors); see the manual',
    )
    .addOption(labelOption())
    .option('--json', 'print key and token as JSON (without a command)');
  return withConnectionOptions(command);
}

/** How to wait for the lock. */
export function waitOptions({ wait }: Pick<HoldFlags, 'wait'>, signal: AbortSignal): WaitOptions {
  return { signal, ...(wait !== undefined && { timeout: wait }) };
}

/** @throws ArgumentError if nothing is after `--`, or there is a command where JSON is to be printed. */
export function checkCommand(
  command: readonly string[] | undefined,
  { json }: Pick<HoldFlags, 'json'>,
): void {
  if (command && !command[0]) throw new ArgumentError('--', 'followed by a command', '');
  if (command && json) throw new ArgumentError('--json', 'used without a command', command);
}

/** How long the command has to end after a loss, in milliseconds. */
export function graceOf({
  ttl,
  killAfter = ttl / 6,
}: Pick<HoldFlags, 'ttl' | 'killAfter'>): number {
  return killAfter;
}

/**
 * The session: it gives up early enough for the command to be gone before etcd can give the lock away. The
 * library's own margin, at least a fifth of the TTL, is enough for up to a sixth.
 *
 * @throws ArgumentError if the time between SIGTERM and SIGKILL does not fit the TTL.
 */
export function sessionOptions(
  flags: Pick<HoldFlags, 'ttl' | 'killAfter' | 'label'>,
): SessionOptions {
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
