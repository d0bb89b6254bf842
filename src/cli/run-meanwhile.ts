import type { Coordinator } from '../coordinator.js';
import { onAbort } from '../core/time/signals.js';
import { type ConnectionFlags, connectionOptions, open, viewOf } from './connection-options.js';
import { EXIT } from './exit-codes.js';
import { Guard } from './guard.js';
import { Interrupts } from './interrupts.js';
import { checkCommand, graceOf, type HoldFlags, sessionOptions } from './lock-options.js';
import { printFacts } from './output.js';
import { RunningCommand } from './running-command.js';

/** What the command line says of what others see of us. */
export type MeanwhileFlags = ConnectionFlags &
  Pick<HoldFlags, 'ttl' | 'killAfter' | 'label' | 'json'>;

/** What others see of us. */
export interface Standing {
  /** Added to the environment of the command. */
  readonly env: Readonly<Record<string, string>>;
  /** What is printed where there is no command. */
  readonly facts: Readonly<Record<string, string>>;
  /** An interrupt is about to be passed on to the command that has it end. */
  readonly ending?: () => void;
  /** Others are to see it no more. */
  end(): Promise<void>;
}

/**
 * Has others see what `stand` gives while a command runs, or until interrupted. The command goes on whatever becomes of us in
 * etcd, and is stopped when we are killed. Resolves to the exit status.
 *
 * @throws ArgumentError if the command line does not make sense; CommandStartError; what `stand` throws.
 */
export async function runMeanwhile(
  command: readonly string[] | undefined,
  flags: MeanwhileFlags,
  stand: (coordinator: Coordinator, signal: AbortSignal) => Promise<Standing>,
): Promise<number> {
  checkCommand(command, flags);
  connectionOptions(flags);
  const session = sessionOptions(flags);
  const interrupts = new Interrupts();
  const { signal } = interrupts;
  const coordinator = await open(flags, { session, signal });
  try {
    const standing = await stand(viewOf(coordinator, flags), signal);
    let status: number = EXIT.done;
    if (command) {
      status = await run(command, standing, interrupts, graceOf(flags));
    } else {
      await printFacts(standing.facts, flags);
      await new Promise<void>((resolve) => onAbort(signal, resolve));
    }
    await standing.end();
    return status;
  } finally {
    await coordinator.close(0);
  }
}

async function run(
  args: readonly string[],
  { env, ending }: Standing,
  interrupts: Interrupts,
  grace: number,
): Promise<number> {
  const guard = await Guard.start(grace);
  try {
    interrupts.signal.throwIfAborted();
    const command = await RunningCommand.start(args, { env, foreground: false, guard });
    interrupts.passTo((signal) => {
      if (signal === 'SIGTERM' || signal === 'SIGINT') ending?.();
      command.pass(signal);
    });
    const status = await command.ended;
    interrupts.passTo(undefined);
    return status;
  } finally {
    await guard?.close();
  }
}
