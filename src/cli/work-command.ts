import { setInterval } from 'node:timers';
import type { Codec } from '../core/codec.js';
import { ArgumentError } from '../core/store/errors.js';
import { toBytes } from '../core/store/keys.js';
import { onAbort } from '../core/time/signals.js';
import { longest } from '../core/validate.js';
import type { Consumer } from '../queue/consumer.js';
import type { Job } from '../queue/job.js';
import type { QueueOptions } from '../queue/queue-options.js';
import { type ConnectionFlags, connectionOptions, open, viewOf } from './connection-options.js';
import { EXIT } from './exit-codes.js';
import { Guard } from './guard.js';
import { Interrupts, isEnding } from './interrupts.js';
import { graceOf, type HoldFlags, sessionOptions } from './lock-options.js';
import { lineOf, say } from './output.js';
import { CommandStartError, RunningCommand } from './running-command.js';

/** What the command line says about working on jobs. */
export interface WorkFlags extends ConnectionFlags, Pick<HoldFlags, 'ttl' | 'killAfter' | 'label'> {
  readonly concurrency: number;
  readonly attempts: number;
  readonly maxTime?: number;
  readonly drain?: boolean;
}

/** The status by which a command says that the job can never be done: `EX_DATAERR` of BSD's `sysexits.h`. */
const badData = 65;
/** While its command runs, a job is shown to be worked on every so many milliseconds. */
const signOfLife = 5_000;

/** Values as they are: what the library writes as JSON is JSON here. */
const text: Codec<string> = {
  encode: (value) => value,
  decode: (bytes) => toBytes(bytes).toString(),
};

/** How queues are seen from the command line. */
export const asText: QueueOptions<string> = { codec: text };

/** `queue work`: runs a command for each job. Resolves to the exit status. */
export async function work(
  name: string,
  flags: WorkFlags,
  command: readonly string[] | undefined,
): Promise<number> {
  if (!command?.[0]) throw new ArgumentError('--', 'followed by a command', '');
  connectionOptions(flags);
  const session = sessionOptions(flags);
  const interrupts = new Interrupts();
  const coordinator = await open(flags, { session, signal: interrupts.signal });
  const { concurrency, attempts, maxTime, drain } = flags;
  const options = { ...asText, attempts, ...(maxTime !== undefined && { maxTime }) };
  const queue = viewOf(coordinator, flags).queue(name, options);
  let failure: unknown;
  try {
    const handler = async (job: Job<string>): Promise<void> => {
      try {
        await runFor(job, command, graceOf(flags));
      } catch (error) {
        if (!(error instanceof CommandStartError)) throw error;
        // It is not the fault of the job.
        failure ??= error;
        await job.release();
        void consumer.close(0);
      }
    };
    const consumer = queue.consume(handler, { concurrency });
    consumer.on('error', ({ error }) => say(lineOf(error)));
    consumer.on('failed', ({ job, error }) => say(`job ${job.id}: ${lineOf(error)}`));
    consumer.on('lost', ({ job, error }) => say(`job ${job.id} is lost: ${lineOf(error)}`));
    await ended(consumer, interrupts, drain ?? false);
    if (failure !== undefined) throw failure;
    return EXIT.done;
  } finally {
    await coordinator.close(0);
  }
}

/** Waits until it is over: at the first interrupt it ends what it has begun, at the second it gives that back. */
async function ended(
  consumer: Consumer<string>,
  interrupts: Interrupts,
  drain: boolean,
): Promise<void> {
  if (drain) void consumer.drain();
  interrupts.passTo((first) => {
    // Such as that of a terminal whose size has changed.
    if (!isEnding(first)) return;
    interrupts.passTo((again) => void (isEnding(again) && consumer.close(0)));
    if (consumer.size > 0)
      say('ending with the jobs that are worked on; interrupt again to give them back');
    void consumer.close(longest);
  });
  await consumer.ended;
}

/** Runs the command for one job. @throws Error unless it does the job. */
async function runFor(job: Job<string>, args: readonly string[], grace: number): Promise<void> {
  const guard = await Guard.start(grace);
  try {
    job.signal.throwIfAborted();
    const env = {
      ETCD_RECIPES_JOB_ID: job.id,
      ETCD_RECIPES_ATTEMPT: String(job.attempt),
      ETCD_RECIPES_TOKEN: String(job.token),
    };
    const input = job.value;
    const command = await RunningCommand.start(args, { env, foreground: false, guard, input });
    const alive = setInterval(() => job.isHeld && job.extend(), signOfLife);
    let stopped: Promise<void> | undefined;
    const forget = onAbort(job.signal, () => {
      stopped = command.stop(grace);
    });
    const status = await command.ended;
    clearInterval(alive);
    forget();
    await stopped;
    if (status === badData && job.isHeld) await job.deadLetter(`exit status ${status}`);
    if (status !== 0) throw new Error(`exit status ${status}`);
  } finally {
    await guard?.close();
  }
}
