import { constants } from 'node:os';

/** How it can end other than with the status of the command. */
type Ending =
  | 'done'
  | 'usage'
  | 'unavailable'
  | 'internal'
  | 'notAcquired'
  | 'refused'
  | 'lost'
  | 'notExecutable'
  | 'notFound'
  | 'signal';

/**
 * What our own exit statuses mean; any other is that of the command. Those up to 78 are from BSD's `sysexits.h`,
 * 126 and up are what shells use, 79 is used by neither.
 */
export const EXIT: Readonly<Record<Ending, number>> = {
  done: 0,
  usage: 64,
  unavailable: 69,
  internal: 70,
  notAcquired: 75,
  refused: 77,
  lost: 79,
  notExecutable: 126,
  notFound: 127,
  signal: 128,
};

/** The table of exit statuses, for people. */
export const EXIT_HELP: string = `Exit status:
  that of the command if it was run, or 128+n if signal n ended it; otherwise
  ${EXIT.done}    released after an interrupt (without a command), or shown (inspect)
  ${EXIT.usage}   wrong usage
  ${EXIT.unavailable}   etcd is out of reach, or took away our place in the line; the command was not run
  ${EXIT.notAcquired}   not acquired: busy (--try), or not within --wait; the command was not run; nobody leads
       (observe --once)
  ${EXIT.refused}   etcd refused: user, password or permission; the command was not run
  ${EXIT.lost}   lost while held: the command was stopped, or ended while that was not known
  ${EXIT.notExecutable}  the command cannot be executed
  ${EXIT.notFound}  the command was not found
  ${EXIT.signal}+n signal n came before the command was started
  ${EXIT.internal}   a defect in etcd-recipes`;

/** The status of a process that a signal ended, as shells count it. */
export function statusOfSignal(signal: NodeJS.Signals): number {
  return EXIT.signal + constants.signals[signal];
}
