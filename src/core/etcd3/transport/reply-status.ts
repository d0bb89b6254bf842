import { constants, type IncomingHttpHeaders, type IncomingHttpStatusHeader } from 'node:http2';
import { status as Status } from '@grpc/grpc-js';
import { StatusError } from './status-error.js';

/** gRPC's own table; what is not in it is UNKNOWN. */
const httpStatuses: ReadonlyMap<number, Status> = new Map([
  [400, Status.INTERNAL],
  [401, Status.UNAUTHENTICATED],
  [403, Status.PERMISSION_DENIED],
  [404, Status.UNIMPLEMENTED],
  [429, Status.UNAVAILABLE],
  [502, Status.UNAVAILABLE],
  [503, Status.UNAVAILABLE],
  [504, Status.UNAVAILABLE],
]);

const resets: ReadonlyMap<number, readonly [Status, string]> = new Map([
  [constants.NGHTTP2_CANCEL, [Status.CANCELLED, 'Call cancelled']],
  [
    constants.NGHTTP2_ENHANCE_YOUR_CALM,
    [Status.RESOURCE_EXHAUSTED, 'Bandwidth exhausted or memory limit exceeded'],
  ],
  [constants.NGHTTP2_INADEQUATE_SECURITY, [Status.PERMISSION_DENIED, 'Protocol not secure enough']],
]);

/** What a reply begins with. */
export type ReplyHeaders = IncomingHttpHeaders & IncomingHttpStatusHeader;

/** What a reply says of itself, once it has ended; `undefined` if that is good. */
export function statusOfReply(
  headers: ReplyHeaders,
  trailers: IncomingHttpHeaders,
): StatusError | undefined {
  if (trailers['grpc-status'] !== undefined) return statusOf(trailers);
  const { ':status': http = 0, 'content-type': type = 'none' } = headers;
  if (http !== 200) {
    const code = httpStatuses.get(http) ?? Status.UNKNOWN;
    return new StatusError(code, `Received HTTP status code ${http}`);
  }
  if (!isGrpc(headers)) {
    return new StatusError(Status.UNKNOWN, `Received a reply that is not gRPC: ${type}`);
  }
  return new StatusError(Status.INTERNAL, 'Received a reply without gRPC status');
}

/** Whether a reply claims to be of gRPC and without an error of HTTP's. */
export function isGrpc({ ':status': http, 'content-type': type }: ReplyHeaders): boolean {
  return http === 200 && type !== undefined && /^application\/grpc(?:[+;]|$)/i.test(type);
}

/** What it means that a stream ended by RST_STREAM. */
export function statusOfReset(code: number): StatusError {
  const [status, details] = resets.get(code) ?? [
    Status.INTERNAL,
    `Received RST_STREAM with code ${code}`,
  ];
  return new StatusError(status, details);
}

function statusOf(trailers: IncomingHttpHeaders): StatusError | undefined {
  const text = String(trailers['grpc-status']);
  if (text === '0') return undefined;
  const message = trailers['grpc-message'];
  const details = message === undefined ? '' : decode(String(message));
  const name = /^\d+$/.test(text) ? Status[Number(text)] : undefined;
  if (name !== undefined) return new StatusError(Status[name as keyof typeof Status], details);
  return new StatusError(Status.UNKNOWN, `Received grpc-status "${text}": ${details}`);
}

/** Texts are percent-encoded; what is not, is shown as it came. */
function decode(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}
