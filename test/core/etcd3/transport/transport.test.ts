import { once } from 'node:events';
import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { Metadata, status as Status } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { AttemptOptions, Endpoint } from '../../../../src/core/etcd3/endpoint.js';
import { judge, type Verdict } from '../../../../src/core/etcd3/status.js';
import { RangeResponse } from '../../../../src/embed/server/wire/kv.js';
import { rejection } from '../../../../src/testing/rejection.js';
import { answer, framed, open, reply, serve } from '../../../support/hostile-server.js';

type Transport = 'http2' | 'grpc';

const patience = { timeout: 60_000, interval: 5 };
const key = Buffer.from('k');
const empty = framed(Buffer.alloc(0));
const ok = { ':status': 200, 'content-type': 'application/grpc' };
const put = (endpoint: Endpoint, options: AttemptOptions = { limit: 10_000 }): Promise<unknown> =>
  endpoint.kv.put({ key, value: key }, options);
const read = (endpoint: Endpoint, options: AttemptOptions = { limit: 30_000 }) =>
  endpoint.kv.range({ key }, options);
const large = (bytes: number): Buffer =>
  RangeResponse.encode({ kvs: [{ key: 'k', value: 'v'.repeat(bytes) }], count: 1 });

/** What a server does; the status and text of it; what that means; and where that holds if not everywhere. */
type Case = [
  does: string,
  act: (stream: ServerHttp2Stream) => void,
  code: keyof typeof Status,
  details: RegExp,
  verdict: Verdict,
  only?: Transport,
];

const trailersOnly = (status: string, message: string) => (stream: ServerHttp2Stream) =>
  stream.respond({ ...ok, 'grpc-status': status, 'grpc-message': message }, { endStream: true });
const http = (status: number, body: string) => (stream: ServerHttp2Stream) => {
  stream.respond({ ':status': status, 'content-type': 'text/html' });
  stream.end(body);
};
const page = `<html>${'x'.repeat(1_000)}</html>`;

const cases: readonly Case[] = [
  [
    'sends trailers only',
    trailersOnly('5', 'etcdserver: requested lease not found'),
    'NOT_FOUND',
    /^etcdserver: requested lease not found$/,
    'refused',
  ],
  ['encodes its text', trailersOnly('2', 'gr%C3%BCn 100%25'), 'UNKNOWN', /^grün 100%$/, 'unknown'],
  ['encodes its text wrongly', trailersOnly('2', '%zz %'), 'UNKNOWN', /^%zz %$/, 'unknown'],
  [
    'sends an error after a message',
    (s) => reply(s, [empty], { 'grpc-status': '14', 'grpc-message': 'etcdserver: no leader' }),
    'UNAVAILABLE',
    /no leader/,
    'not-applied',
  ],
  ['sends a status nobody knows', trailersOnly('99', 'x'), 'UNKNOWN', /99.*x/, 'unknown', 'http2'],
  ['sends a status that is none', trailersOnly('-', ''), 'UNKNOWN', /"-"/, 'unknown', 'http2'],
  [
    'sends no trailers',
    (s) => {
      s.respond(ok);
      s.end(empty);
    },
    'INTERNAL',
    /without g?RPC status/,
    'unknown',
  ],
  [
    'sends headers only',
    (s) => s.respond(ok, { endStream: true }),
    'INTERNAL',
    /status/,
    'unknown',
    'http2',
  ],
  ...(
    [
      [400, 'INTERNAL'],
      [401, 'UNAUTHENTICATED'],
      [403, 'PERMISSION_DENIED'],
      [404, 'UNIMPLEMENTED'],
      [418, 'UNKNOWN'],
      [429, 'UNAVAILABLE'],
      [503, 'UNAVAILABLE'],
    ] as const
  ).map(
    ([status, code]): Case => [
      `answers with HTTP ${status} and a page`,
      http(status, page),
      code,
      new RegExp(`HTTP status code ${status}`),
      code === 'UNAUTHENTICATED' ? 'unauthenticated' : 'unknown',
      'http2',
    ],
  ),
  ['answers with a page', http(200, page), 'UNKNOWN', /not gRPC: text\/html/, 'unknown', 'http2'],
  [
    'sends something compressed',
    (s) => reply(s, [framed(Buffer.from('x'), 1)]),
    'INTERNAL',
    /compressed/,
    'unknown',
    'http2',
  ],
  [
    'sends a strange flag',
    (s) => reply(s, [framed(Buffer.alloc(1), 7)]),
    'INTERNAL',
    /flag 7/,
    'unknown',
    'http2',
  ],
  [
    'sends two messages',
    (s) => reply(s, [empty, empty]),
    'UNIMPLEMENTED',
    /Too many/,
    'unknown',
    'http2',
  ],
  ['sends no message', (s) => reply(s, []), 'UNIMPLEMENTED', /No message/, 'unknown'],
  [
    'sends half a message',
    (s) => reply(s, [framed(Buffer.alloc(10)).subarray(0, 9)]),
    'INTERNAL',
    /truncated.*9 of 15/,
    'unknown',
    'http2',
  ],
  [
    'sends half a prefix',
    (s) => reply(s, [Buffer.alloc(3)]),
    'INTERNAL',
    /truncated/,
    'unknown',
    'http2',
  ],
  [
    'announces more than it sends',
    (s) => reply(s, [Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1])]),
    'INTERNAL',
    /truncated.*6 of 4294967300/,
    'unknown',
    'http2',
  ],
  [
    'sends what is no message of this type',
    (s) => reply(s, [framed(Buffer.from([0x0a, 0x7f, 1]))]),
    'INTERNAL',
    /^Response message parsing error/,
    'unknown',
  ],
  [
    'resets with CANCEL',
    (s) => s.close(constants.NGHTTP2_CANCEL),
    'CANCELLED',
    /cancelled/,
    'unknown',
  ],
  [
    'resets with ENHANCE_YOUR_CALM',
    (s) => s.close(constants.NGHTTP2_ENHANCE_YOUR_CALM),
    'RESOURCE_EXHAUSTED',
    /Bandwidth/,
    'unknown',
  ],
  [
    'resets with an error',
    (s) => s.close(constants.NGHTTP2_INTERNAL_ERROR),
    'INTERNAL',
    /RST_STREAM with code 2/,
    'unknown',
  ],
  [
    'resets in the middle of a message',
    (s) => {
      s.respond(ok);
      s.write(framed(Buffer.alloc(100)).subarray(0, 50), () => s.close(constants.NGHTTP2_CANCEL));
    },
    'CANCELLED',
    /cancelled/,
    'unknown',
  ],
  [
    'refuses every stream',
    (s) => s.close(constants.NGHTTP2_REFUSED_STREAM),
    'UNAVAILABLE',
    /^Not processed/,
    'not-applied',
    'http2',
  ],
  [
    'claims to refuse what it has begun to answer',
    (s) => {
      s.respond(ok);
      s.write(empty, () => s.close(constants.NGHTTP2_REFUSED_STREAM));
    },
    'INTERNAL',
    /RST_STREAM with code 7|without gRPC status/,
    'unknown',
    'http2',
  ],
  ['drops the connection', (s) => s.session?.destroy(), 'UNAVAILABLE', /dropped/, 'unknown'],
  [
    'drops the connection in the middle of a message',
    (s) => {
      s.respond(ok);
      s.write(framed(Buffer.alloc(100)).subarray(0, 50), () => s.session?.destroy());
    },
    'UNAVAILABLE',
    /dropped/,
    'unknown',
    'http2',
  ],
];

describe.each<Transport>(['http2', 'grpc'])('over %s', (transport) => {
  const own = cases.filter(([, , , , , only = transport]) => only === transport);

  it.each(own)('fails when the server %s', async (_, act, code, details, verdict) => {
    const { address } = await serve((stream) => {
      stream.resume().once('end', () => act(stream));
    });
    const error = await rejection(put(open(address, { transport })));
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ code: Status[code] });
    expect((error as { details?: string }).details).toMatch(details);
    expect(judge(error)).toBe(verdict);
  });

  it('fails when the reply is longer than the longest taken', async () => {
    const message = large(1_000);
    const { address } = await serve((stream) => reply(stream.resume(), [framed(message)]));
    const endpoint = open(address, { transport, maxReceiveBytes: message.length - 1 });
    await expect(read(endpoint)).rejects.toMatchObject({
      code: Status.RESOURCE_EXHAUSTED,
      details: expect.stringMatching(/^Received message larger than max \(1011 vs\.? 1010\)$/),
    });
    const other = open(address, { transport, maxReceiveBytes: message.length });
    expect((await read(other)).count).toBe('1');
  });

  it('puts a message together that comes byte by byte', async () => {
    const message = framed(large(20));
    const { address } = await serve((stream) => {
      const pieces = Array.from(message, (byte) => Buffer.from([byte]));
      reply(stream.resume(), pieces);
    });
    expect((await read(open(address, { transport }))).kvs[0]?.value.length).toBe(20);
  });

  it('takes what is larger than all windows, several at once', async () => {
    const size = 64 * 2 ** 20;
    const message = framed(large(size));
    // What Node allows a server to keep by default is less.
    const options = { maxSessionMemory: 1_000 };
    const { address } = await serve((stream) => reply(stream.resume(), [message]), options);
    const endpoint = open(address, { transport });
    for (const { kvs } of await Promise.all([read(endpoint), read(endpoint)])) {
      expect(kvs[0]?.value.length).toBe(size);
    }
  });

  it('sends what is larger than all windows', async () => {
    const value = Buffer.alloc(8 * 2 ** 20, 'v');
    let received = 0;
    const { address } = await serve((stream) => {
      stream.on('data', (piece: Buffer) => {
        received += piece.length;
      });
      stream.once('end', () => answer(stream));
    });
    const endpoint = open(address, { transport });
    await endpoint.kv.put({ key, value }, { limit: 30_000 } as AttemptOptions);
    expect(received).toBeGreaterThan(value.length);
  });

  it('takes an answer that comes before all was sent', async () => {
    const { address } = await serve(trailersOnly('3', 'etcdserver: request is too large'));
    const endpoint = open(address, { transport });
    const value = Buffer.alloc(8 * 2 ** 20);
    for (let n = 0; n < 5; n += 1) {
      await expect(endpoint.kv.put({ key, value })).rejects.toMatchObject({
        code: Status.INVALID_ARGUMENT,
      });
    }
  });

  it('tells the server who asks, and for how long', async () => {
    const metadata = new Metadata();
    metadata.set('token', 'before');
    const { address, headers } = await serve(answer);
    const endpoint = open(address, { transport, metadata });
    await put(endpoint, { limit: 5_000 });
    metadata.set('token', 'after');
    await put(endpoint, { limit: 2 ** 31 - 1 });
    await put(endpoint, {});
    expect(headers.map(({ token }) => token)).toEqual(['before', 'after', 'after']);
    expect(headers.map((each) => each[':path'])).toEqual(
      Array.from({ length: 3 }, () => '/etcdserverpb.KV/Put'),
    );
    const timeouts = headers.map((each) => each['grpc-timeout']);
    expect(timeouts[0]).toMatch(/^(5000|4\d\d\d)m$/);
    expect(timeouts[1]).toMatch(/^\d{1,8}[mSMH]$/);
    expect(timeouts[2]).toBe(undefined);
  });

  it('has the time it was given although somebody sets the clock', async () => {
    const { address, headers } = await serve(answer);
    const asked = put(open(address, { transport }), { limit: 5_000 });
    const hour = 3_600_000;
    const set = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + hour);
    onTestFinished(() => set.mockRestore());
    await asked;
    expect(headers[0]?.['grpc-timeout']).toMatch(/^(5000|4\d\d\d)m$/);
  });

  it('gives up in time, and tells the server', async () => {
    const resets: number[] = [];
    const { address } = await serve((stream) => {
      stream.resume().on('close', () => resets.push(stream.rstCode));
    });
    const error = await rejection(put(open(address, { transport }), { limit: 200 }));
    expect(error).toMatchObject({ code: Status.DEADLINE_EXCEEDED });
    expect(judge(error)).toBe('unknown');
    await vi.waitFor(() => expect(resets).toEqual([constants.NGHTTP2_CANCEL]), patience);
  });

  it('gives up when told to, and tells the server', async () => {
    const controller = new AbortController();
    const resets: number[] = [];
    const { address } = await serve((stream) => {
      stream.resume().on('close', () => resets.push(stream.rstCode));
      controller.abort();
    });
    const call = put(open(address, { transport }), { signal: controller.signal });
    await expect(call).rejects.toMatchObject({ code: Status.CANCELLED });
    await vi.waitFor(() => expect(resets).toEqual([constants.NGHTTP2_CANCEL]), patience);
  });

  it('sends nothing that was given up before', async () => {
    const { address, headers } = await serve(answer);
    const endpoint = open(address, { transport });
    const call = put(endpoint, { signal: AbortSignal.abort() });
    await expect(call).rejects.toMatchObject({ code: Status.CANCELLED });
    await put(endpoint);
    expect(headers.length).toBe(1);
  });

  it.runIf(transport === 'http2')('asks again when it was refused once', async () => {
    let asked = 0;
    const { address } = await serve((stream) => {
      asked += 1;
      if (asked === 1) stream.close(constants.NGHTTP2_REFUSED_STREAM);
      else answer(stream);
    });
    await put(open(address, { transport }));
    expect(asked).toBe(2);
  });

  it('says that nothing was sent where nobody listens', async () => {
    const { address, server } = await serve(answer);
    const closed = once(server, 'close');
    server.close();
    await closed;
    const error = await rejection(put(open(address, { transport })));
    expect(error).toMatchObject({ code: Status.UNAVAILABLE });
    expect(judge(error)).toBe('not-applied');
  });

  it('says what is wrong with a request', async () => {
    const { address, headers } = await serve(answer);
    const call = open(address, { transport }).kv.put({ key: '%' as never });
    const error = await rejection(call);
    expect(error).toMatchObject({ code: Status.INTERNAL });
    expect(judge(error)).toBe('refused');
    expect(headers.length).toBe(0);
  });

  it.runIf(transport === 'http2')('ends calls when it is closed', async () => {
    let arrived = (): void => {};
    const begun = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const { address, sessions } = await serve(() => arrived());
    const endpoint = open(address, { transport });
    const call = rejection(put(endpoint, {}));
    await begun;
    const closed = once(sessions[0] as ServerHttp2Session, 'close');
    endpoint.close();
    expect(judge(await call)).toBe('unknown');
    expect(judge(await rejection(put(endpoint)))).toBe('not-applied');
    await closed;
  });
});
