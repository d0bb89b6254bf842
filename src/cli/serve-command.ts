import { onAbort } from '../core/time/signals.js';
import { longest } from '../core/validate.js';
import { type InProcessEtcd, type InProcessOptions, start } from '../embed/index.js';
import { EXIT } from './exit-codes.js';
import { Interrupts } from './interrupts.js';
import { print, say } from './output.js';
import { type ServeFlags, serveOptions } from './serve-options.js';

/** We cannot listen where we were told to. */
export class ListenError extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'ListenError';
  }
}

/** `serve`: an etcd in this process, until interrupted. Resolves to the exit status. */
export async function serve(flags: ServeFlags): Promise<number> {
  const options = serveOptions(flags);
  const interrupts = new Interrupts();
  const etcd = await open(flags, options);
  try {
    say(
      'for development only: all data is in memory, and lost when this ends; whoever can connect may read and ' +
        'write everything',
    );
    await print(etcd.endpoints.join('\n'));
    await interrupted(interrupts.signal);
  } finally {
    await etcd.stop();
  }
  return EXIT.done;
}

async function open(flags: ServeFlags, options: InProcessOptions): Promise<InProcessEtcd> {
  try {
    return await start(options);
  } catch (error) {
    const { code = '', syscall } = error as NodeJS.ErrnoException;
    if (syscall === 'listen' || syscall === 'bind') {
      throw new ListenError(reasonOf(code, flags, options), error);
    }
    throw error;
  }
}

function reasonOf(code: string, { socket }: ServeFlags, options: InProcessOptions): string {
  const where = options.listenClientUrls?.[0] ?? '';
  if (code !== 'EADDRINUSE') return `cannot listen on ${where}: ${code}`;
  return socket === undefined
    ? `${where} is in use: choose another port with --port, or --port 0 for a free one`
    : `${where} is in use, or left behind by a process that was killed: remove it, or choose another with --socket`;
}

/** Resolves when `signal` aborts. The server would not keep this process alive until then. */
async function interrupted(signal: AbortSignal): Promise<void> {
  const alive = setInterval(() => {}, longest);
  await new Promise<void>((resolve) => onAbort(signal, resolve));
  clearInterval(alive);
}
