import type { Server, UntypedHandleCall } from '@grpc/grpc-js';

/** One message each way, a stream each way, or one request and a stream of replies. */
export type MethodKind = 'unary' | 'duplex' | 'replies';

const asBytes = (bytes: Buffer): Buffer => bytes;

/** The path of a call on the wire: `KV.Range` is `/etcdserverpb.KV/Range`. */
export function pathOf(name: string): string {
  const [service = '', method = ''] = name.split('.');
  const pack = service === 'Health' ? 'grpc.health.v1' : 'etcdserverpb';
  return `/${pack}.${service}/${method}`;
}

/** Adds a call to a server. Its handler gets requests as bytes and gives replies that `encode` takes. */
export function addMethod(
  server: Server,
  name: string,
  kind: MethodKind,
  encode: (reply: object) => Buffer,
  handler: unknown,
): void {
  const definition = {
    path: pathOf(name),
    requestStream: kind === 'duplex',
    responseStream: kind !== 'unary',
    requestSerialize: asBytes,
    requestDeserialize: asBytes,
    responseSerialize: encode,
    responseDeserialize: asBytes,
  };
  server.addService({ [name]: definition }, { [name]: handler as UntypedHandleCall });
}
