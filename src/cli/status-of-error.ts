import { CommanderError } from 'commander';
import {
  ArgumentError,
  BrokenBarrierError,
  CoordinationError,
  RefusedError,
  WaitTimeoutError,
} from '../core/store/errors.js';
import { EXIT, statusOfSignal } from './exit-codes.js';
import { InterruptedError } from './interrupts.js';
import { CommandStartError } from './running-command.js';
import { ListenError } from './serve-command.js';

/** The status for an error that kept us from running the command. */
export function statusOfError(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  if (error instanceof InterruptedError) return statusOfSignal(error.signal);
  if (error instanceof CommandStartError) return error.missing ? EXIT.notFound : EXIT.notExecutable;
  if (error instanceof ArgumentError) return EXIT.usage;
  if (error instanceof WaitTimeoutError || error instanceof BrokenBarrierError)
    return EXIT.notAcquired;
  if (error instanceof RefusedError) return EXIT.refused;
  if (error instanceof ListenError) return EXIT.unavailable;
  return error instanceof CoordinationError ? EXIT.unavailable : EXIT.internal;
}
