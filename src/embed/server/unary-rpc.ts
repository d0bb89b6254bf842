import type { Caller } from './auth/caller.js';
import type { Backend } from './backend.js';
import type { Codec, Init } from './wire/codec.js';
import type { ResponseHeader } from './wire/common.js';

/** A call with one request and one reply, whose types only its own functions know. */
export interface UnaryRpc {
  /** @throws Error if the bytes are no such request. */
  decode(bytes: Uint8Array): object;
  encode(reply: object): Buffer;
  /** @throws EtcdError where etcd refuses. */
  run(request: object, caller: Caller): object;
}

/** A call whose replies are as `run` gives them. */
export function rpc<Request extends object, Reply extends object>(
  request: Codec<Request>,
  reply: Codec<Reply>,
  run: (request: Request, caller: Caller) => Init<Reply>,
): UnaryRpc {
  return {
    decode: (bytes) => request.decode(bytes),
    encode: (message) => reply.encode(message as Init<Reply>),
    run: (message, caller) => run(message as Request, caller),
  };
}

/** Makes calls whose replies get a whole header. */
export type Define = <Request extends object, Reply extends object>(
  request: Codec<Request>,
  reply: Codec<Reply>,
  run: (request: Request, caller: Caller) => Init<Reply>,
) => UnaryRpc;

/** The replies of these calls get a whole header, whatever they have of one. */
export function define(backend: Backend): Define {
  return (request, reply, run) =>
    rpc(request, reply, (message, caller) => {
      const response = run(message, caller);
      const { header } = response as { readonly header?: Init<ResponseHeader> };
      return Object.assign(response, { header: backend.header(header) });
    });
}
