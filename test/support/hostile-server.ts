import { once } from 'node:events';
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Metadata } from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';
import { Endpoint, type EndpointOptions } from '../../src/core/etcd3/endpoint.js';

/** What a server does with a request that has begun to arrive. */
export type Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** A server that does with requests what a test wants, and what it saw. */
export interface HostileServer {
  readonly address: string;
  /** Every connection that there was, in order. */
  readonly sessions: readonly ServerHttp2Session[];
  /** Of every request that there was, in order. */
  readonly headers: readonly IncomingHttpHeaders[];
  readonly server: Http2Server;
}

/** Where a server listens, and what it shows. */
interface Listening extends ServerOptions {
  readonly path?: string;
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
}

const grpc = { ':status': 200, 'content-type': 'application/grpc' };

/** Starts one for the running test. */
export async function serve(handle: Handler, options: Listening = {}): Promise<HostileServer> {
  const { path, tls, ...rest } = options;
  const server = tls ? createSecureServer({ ...rest, ...tls }) : createServer(rest);
  const sessions: ServerHttp2Session[] = [];
  const headers: IncomingHttpHeaders[] = [];
  server.on('session', (session) => {
    session.on('error', () => {});
    sessions.push(session);
  });
  server.on('sessionError', () => {});
  server.on('stream', (stream, received) => {
    stream.on('error', () => {});
    headers.push(received);
    handle(stream, received);
  });
  server.listen(path === undefined ? { port: 0, host: '127.0.0.1' } : { path });
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const session of sessions) session.destroy();
  });
  const { port } = server.address() as AddressInfo;
  const address = path === undefined ? `127.0.0.1:${port}` : `unix:${path}`;
  return { address, sessions, headers, server };
}

/** An endpoint for the running test. */
export function open(address: string, options: Partial<EndpointOptions> = {}): Endpoint {
  const endpoint = new Endpoint({
    name: address,
    address,
    tls: undefined,
    metadata: new Metadata(),
    transport: 'http2',
    maxReceiveBytes: undefined,
    maxSendBytes: Infinity,
    ...options,
  });
  onTestFinished(() => endpoint.close());
  return endpoint;
}

/** A message with its prefix. */
export function framed(message: Buffer, flag = 0): Buffer {
  const prefix = Buffer.from([flag, 0, 0, 0, 0]);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Sends pieces as a reply that ends with trailers; without any, it ends with the last piece. */
export function reply(
  stream: ServerHttp2Stream,
  pieces: readonly Buffer[],
  trailers: Record<string, string> | undefined = { 'grpc-status': '0' },
  headers: Record<string, string | number> = grpc,
): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond(headers, { waitForTrailers: trailers !== undefined });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  for (const piece of pieces) stream.write(piece);
  stream.end();
}

/** Answers with an empty message. */
export function answer(stream: ServerHttp2Stream): void {
  stream.resume();
  reply(stream, [framed(Buffer.alloc(0))]);
}
