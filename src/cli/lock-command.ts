import type { Coordinator } from '../coordinator.js';
import { ArgumentError } from '../core/errors.js';
import type { Hold } from '../core/hold.js';
import { abortable, onAbort } from '../core/signals.js';
import { connectionOptions, open } from './connection-options.js';
import { EXIT } from './exit-codes.js';
import { Guard } from './guard.js';
import { Interrupts } from './interrupts.js';
import { graceOf, type LockFlags, sessionOptions, waitOptions } from './lock-options.js';
import { print, say } from './output.js';
import { RunningCommand } from './running-command.js';

/** `lock`: holds a lock while a command runs, or until interrupted. Resolves to the exit status. */
export async function lock(
  name: string,
  flags: LockFlags,
  command: readonly string[] | undefined,
): Promise<number> {
  if (name === '') throw new ArgumentError('NAME', 'a non-empty string', name);
  if (command && !command[0]) throw new ArgumentError('--', 'followed by a command', '');
  if (command && flags.json) throw new ArgumentError('--json', 'used without a command', command);
  connectionOptions(flags);
  const session = sessionOptions(flags);
  const interrupts = new Interrupts();
  // A lease without keys may stay behind for its TTL: it is in nobody's way.
  const coordinator = await abortable(open(flags, session), interrupts.signal);
  try {
    const hold = await acquire(coordinator, name, flags, interrupts.signal);
    if (!hold) return EXIT.notAcquired;
    const held = { hold, interrupts, flags, key: `${flags.namespace ?? ''}${hold.key}` };
    return await (command ? runUnder(held, command) : keep(held));
  } finally {
    await coordinator.close(0);
  }
}

interface Held {
  readonly hold: Hold;
  readonly interrupts: Interrupts;
  readonly flags: LockFlags;
  /** As it is in etcd. */
  readonly key: string;
}

async function acquire(
  coordinator: Coordinator,
  name: string,
  flags: LockFlags,
  signal: AbortSignal,
): Promise<Hold | undefined> {
  const { namespace, layout } = flags;
  const place = namespace === undefined ? coordinator : coordinator.namespace(namespace);
  const mutex = place.mutex(name, { layout });
  if (!flags.try) return mutex.acquire(waitOptions(flags, signal));
  const hold = await mutex.tryAcquire({ signal });
  if (!hold) say(`${name} is not free`);
  return hold;
}

async function keep({ hold, interrupts, flags, key }: Held): Promise<number> {
  const token = String(hold.token);
  await print(flags.json ? JSON.stringify({ key, token }) : `key    ${key}\ntoken  ${token}`);
  await new Promise<void>((resolve) => {
    onAbort(interrupts.signal, resolve);
    onAbort(hold.signal, resolve);
  });
  if (await hold.release()) return EXIT.done;
  say(`${key} is lost (${hold.lost ?? 'not confirmed by etcd'})`);
  return EXIT.lost;
}

async function runUnder(held: Held, args: readonly string[]): Promise<number> {
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
    });
    guard?.watch(command.target);
    interrupts.passTo((signal) => command.pass(signal));
    // If Ctrl-Z stopped us, nobody would renew the lease while the command, out of its reach, goes on.
    if (!flags.foreground) process.on('SIGTSTP', () => {});
    let stopped: Promise<void> | undefined;
    onAbort(hold.signal, () => {
      say(`${key} is lost (${hold.lost}), stopping the command`);
      stopped = command.stop(grace);
    });
    const status = await command.ended;
    await stopped;
    interrupts.passTo(undefined);
    if (stopped) return EXIT.lost;
    if (await hold.release()) return status;
    say(
      `the command ended with status ${status}, but it is not known that ${key} was held until then`,
    );
    return status || EXIT.lost;
  } finally {
    await guard?.close();
  }
}
