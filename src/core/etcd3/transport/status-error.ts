import { status as Status } from '@grpc/grpc-js';

/** A call that failed, as grpc-js would report it: a gRPC status and what there is to say about it. */
export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly code: Status;
  readonly details: string;

  constructor(code: Status, details: string, options?: ErrorOptions) {
    super(`${code} ${Status[code]}: ${details}`, options);
    this.code = code;
    this.details = details;
  }
}

/** There was no connection to send a request on. */
export function unconnected(reason: string, cause?: unknown): StatusError {
  const options = cause === undefined ? {} : { cause };
  return new StatusError(
    Status.UNAVAILABLE,
    `No connection established. Last error: ${reason}`,
    options,
  );
}

/** A request stayed here, or its server has told that it did nothing with it. */
export function unprocessed(reason: string): StatusError {
  return new StatusError(Status.UNAVAILABLE, `Not processed: ${reason}`);
}
