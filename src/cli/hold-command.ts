import type { Coordinator } from '../coordinator.js';
import type { Hold } from '../core/line/hold.js';
import { isLoss } from '../core/store/errors.js';
import { onAbort, type WaitOptions } from '../core/time/signals.js';
import { nonEmpty } from '../core/validate.js';
import { connectionOptions, open, viewOf } from './connection-options.js';
import { EXIT } from './exit-codes.js';
import { Guard } from './guard.js';
import { Interrupts } from './interrupts.js';
import {
  checkCommand,
  graceOf,
  type HoldFlags,
  sessionOptions,
  waitOptions,
} from './lock-options.js';
import { printFacts, say } from './output.js';
import { RunningCommand } from './running-command.js';

/** What is to be held, by the name under which processes meet. */
export interface Wanted {
  readonly name: string;
  /** Finds it. */
  readonly in: (place: Coordinator) => Acquirable;
  /** What is to be printed of it besides key and token. @defaultValue nothing */
  readonly facts?: Readonly<Record<string, string>>;
}

/** What can be waited for, and held then. */
export interface Acquirable {
  readonly acquire: (wait: WaitOptions) => Promise<Hold>;
  readonly tryAcquire: (wait: WaitOptions) => Promise<Hold | undefined>;
}

/** `lock` and others: holds something while a command runs, or until interrupted. Resolves to the exit status. */
export async function holdWhile(
  wanted: Wanted,
  flags: HoldFlags & { readonly again?: boolean },
  command: readonly string[] | undefined,
): Promise<number> {
  nonEmpty('NAME', wanted.name);
  checkCommand(command, flags);
  connectionOptions(flags);
  const session = sessionOptions(flags);
  const interrupts = new Interrupts();
  const coordinator = await open(flags, { session, signal: interrupts.signal });
  const surroundings = { wanted, interrupts, flags };
  try {
    for (;;) {
      const status = await holdOnce(coordinator, surroundings, command).catch((error: unknown) => {
        if (isLoss(error) && flags.again) return undefined;
        throw error;
      });
      if (status !== undefined) return status;
      if (!flags.again) return EXIT.lost;
    }
  } finally {
    await coordinator.close(0);
  }
}

interface Surroundings {
  readonly wanted: Wanted;
  readonly interrupts: Interrupts;
  readonly flags: HoldFlags;
}

interface Held extends Surroundings {
  readonly hold: Hold;
  /** As it is in etcd. */
  readonly key: string;
}

/** Gives the exit status; nothing if it was lost while it was needed. */
async function holdOnce(
  coordinator: Coordinator,
  surroundings: Surroundings,
  command: readonly string[] | undefined,
): Promise<number | undefined> {
  const hold = await acquire(coordinator, surroundings);
  if (!hold) return EXIT.notAcquired;
  const { namespace = '' } = surroundings.flags;
  const held = { ...surroundings, hold, key: `${namespace}${hold.key}` };
  return command ? runUnder(held, command) : keep(held);
}

async function acquire(
  coordinator: Coordinator,
  { wanted, flags, interrupts }: Surroundings,
): Promise<Hold | undefined> {
  const found = wanted.in(viewOf(coordinator, flags));
  const wait = waitOptions(flags, interrupts.signal);
  if (!flags.try) return found.acquire(wait);
  const got = await found.tryAcquire(wait);
  if (!got) say(`${wanted.name} is not free`);
  return got;
}

async function keep({ hold, interrupts, flags, key, wanted }: Held): Promise<number | undefined> {
  const facts = { key, ...wanted.facts, token: String(hold.token) };
  await printFacts(facts, flags);
  await new Promise<void>((resolve) => {
    onAbort(interrupts.signal, resolve);
    onAbort(hold.signal, resolve);
  });
  if (await hold.release()) return EXIT.done;
  say(`${key} is lost (${hold.lost ?? 'not confirmed by etcd'})`);
  return undefined;
}

async function runUnder(held: Held, args: readonly string[]): Promise<number | undefined> {
  const { hold, interrupts, flags, key } = held;
  const grace = graceOf(flags);
  const guard = await Guard.start(grace);
  if (!guard)
    say('found no sh: if this process is killed, the command will go on without the lock');
  try {
    interrupts.signal.throwIfAborted();
    hold.signal.throwIfAborted();
    const env = { ETCD_RECIPES_LOCK_KEY: key, ETCD_RECIPES_TOKEN: String(hold.token) };
    const command = await RunningCommand.start(args, {
      env,
      foreground: flags.foreground ?? false,
      guard,
    });
    interrupts.passTo((signal) => command.pass(signal));
    // If Ctrl-Z stopped us, nobody would renew the lease while the command, out of its reach, goes on.
    if (!flags.foreground && process.listenerCount('SIGTSTP') === 0) {
      process.on('SIGTSTP', () => {});
    }
    let stopped: Promise<void> | undefined;
    onAbort(hold.signal, () => {
      say(`${key} is lost (${hold.lost}), stopping the command`);
      stopped = command.stop(grace);
      // What comes now is for us: the command ends anyway, and is not to be run again.
      interrupts.passTo(undefined);
    });
    const status = await command.ended;
    await stopped;
    interrupts.passTo(undefined);
    if (stopped) return undefined;
    if (await hold.release()) return status;
    say(
      `the command ended with status ${status}, but it is not known that ${key} was held until then`,
    );
    return status || EXIT.lost;
  } finally {
    await guard?.close();
  }
}
