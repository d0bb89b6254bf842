import { type Client, status as Status } from '@grpc/grpc-js';
import { StatusError } from './status-error.js';
import { timeoutHeader } from './timeout.js';
import type { UnaryRequest } from './unary-call.js';

/** A call on its way. */
interface Sent {
  readonly reply: Promise<Buffer>;
  cancel(): void;
}

const asIs = (bytes: Buffer): Buffer => bytes;

/** Makes a call by the library of the gRPC project. Its `reply` rejects with an error that has a gRPC status. */
export function callGrpc(
  client: Client,
  { path, message, limit, metadata: given }: UnaryRequest,
): Sent {
  const metadata = given.clone();
  // A deadline of grpc-js would be one of the wall clock.
  if (limit !== undefined) metadata.set('grpc-timeout', timeoutHeader(limit));
  let call: { cancel(): void } | undefined;
  let timer: NodeJS.Timeout | undefined;
  const reply = new Promise<Buffer>((resolve, reject) => {
    const done = (error: Error | null, bytes?: Buffer): void => {
      clearTimeout(timer);
      if (error) reject(error);
      else resolve(bytes ?? Buffer.alloc(0));
    };
    call = untraced(() => client.makeUnaryRequest(path, asIs, asIs, message, metadata, done));
    if (limit === undefined) return;
    const expire = (): void => {
      reject(
        new StatusError(Status.DEADLINE_EXCEEDED, `Deadline exceeded after ${limit / 1_000}s`),
      );
      call?.cancel();
    };
    timer = setTimeout(() => setImmediate(expire), Math.ceil(limit));
  });
  return { reply, cancel: () => call?.cancel() };
}

/** grpc-js takes a stack trace of every call, for the case that it fails; our errors have their own. */
function untraced<T>(run: () => T): T {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return run();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
