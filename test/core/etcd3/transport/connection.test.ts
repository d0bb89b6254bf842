import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer as createHttp1 } from 'node:http';
import { constants, createServer as createHttp2, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer as createTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { Metadata, status as Status } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { AttemptOptions, Endpoint } from '../../../../src/core/etcd3/endpoint.js';
import { judge } from '../../../../src/core/etcd3/status.js';
import { start } from '../../../../src/embed/index.js';
import { rejection } from '../../../../src/testing/rejection.js';
import { answer, open, serve } from '../../../support/hostile-server.js';

const patience = { timeout: 60_000, interval: 5 };
const key = Buffer.from('k');
const put = (endpoint: Endpoint, limit = 10_000): Promise<unknown> =>
  endpoint.kv.put({ key, value: key }, { limit } as AttemptOptions);
const many = (endpoint: Endpoint, count: number, limit?: number): Promise<unknown>[] =>
  Array.from({ length: count }, () => put(endpoint, limit));

describe('the connection of an endpoint', () => {
  it('is made when it is first needed, and shared by all calls', async () => {
    const { address, sessions } = await serve(answer);
    const endpoint = open(address);
    expect(sessions.length).toBe(0);
    await Promise.all(many(endpoint, 50));
    await put(endpoint);
    expect(sessions.length).toBe(1);
  });

  it('is made again when it broke', async () => {
    const { address, sessions } = await serve(answer);
    const endpoint = open(address);
    await put(endpoint);
    const [first] = sessions;
    first?.destroy();
    await vi.waitFor(() => put(endpoint), patience);
    expect(sessions.length).toBe(2);
  });

  it('takes no more calls than the server allows; the others wait', async () => {
    let now = 0;
    let most = 0;
    const handle = (stream: ServerHttp2Stream): void => {
      now += 1;
      most = Math.max(most, now);
      setImmediate(() => {
        now -= 1;
        answer(stream);
      });
    };
    const { address } = await serve(handle, { settings: { maxConcurrentStreams: 2 } });
    await Promise.all(many(open(address), 20));
    expect(most).toBe(2);
  });

  it('takes more calls as soon as the server allows more', async () => {
    const waiting: ServerHttp2Stream[] = [];
    const hold = (stream: ServerHttp2Stream): number => waiting.push(stream);
    const { address, sessions } = await serve(hold, { settings: { maxConcurrentStreams: 1 } });
    const calls = many(open(address), 5);
    await vi.waitFor(() => expect(waiting.length).toBe(1), patience);
    sessions[0]?.settings({ maxConcurrentStreams: 5 });
    await vi.waitFor(() => expect(waiting.length).toBe(5), patience);
    for (const stream of waiting) answer(stream);
    await Promise.all(calls);
  });

  it('says of calls that had to wait for too long that they were not sent', async () => {
    const { address, headers } = await serve(() => {}, { settings: { maxConcurrentStreams: 1 } });
    const endpoint = open(address);
    const first = rejection(put(endpoint));
    await vi.waitFor(() => expect(headers.length).toBe(1), patience);
    const error = await rejection(put(endpoint, 50));
    expect(error).toMatchObject({ details: /no more than 1 calls at once/ });
    expect(judge(error)).toBe('not-applied');
    expect(headers.length).toBe(1);
    endpoint.close();
    expect(judge(await first)).toBe('unknown');
  });

  it('is left when nothing at all came on it while a call waited in vain', async () => {
    const { address, sessions } = await serve((stream) => {
      if (stream.id === 1 || stream.session !== sessions[0]) answer(stream);
    });
    const endpoint = open(address);
    await put(endpoint);
    expect(judge(await rejection(put(endpoint, 100)))).toBe('unknown');
    await put(endpoint);
    expect(sessions.length).toBe(2);
    await vi.waitFor(() => expect(sessions[0]?.destroyed).toBe(true), patience);
  });

  it('is kept when others were answered on it while a call waited in vain', async () => {
    let asked = 0;
    const { address, sessions } = await serve((stream) => {
      asked += 1;
      if (asked > 1) answer(stream);
    });
    const endpoint = open(address);
    const slow = rejection(put(endpoint, 300));
    await vi.waitFor(() => expect(asked).toBe(1), patience);
    await put(endpoint);
    expect(await slow).toMatchObject({ code: Status.DEADLINE_EXCEEDED });
    await put(endpoint);
    expect(sessions.length).toBe(1);
  });

  it('is tried anew when making it takes too long', { timeout: 180_000 }, async () => {
    const http2 = createHttp2();
    http2.on('session', (session) => session.on('error', () => {}));
    http2.on('stream', answer);
    const sockets: Socket[] = [];
    const server = createTcp((socket) => {
      sockets.push(socket.on('error', () => {}));
      // The first is accepted, and that is all.
      if (sockets.length > 1) http2.emit('connection', socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    const endpoint = open(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    const errors = await Promise.all(many(endpoint, 3, 100).map((call) => rejection(call)));
    expect(errors.map((error) => judge(error))).toEqual(
      Array.from({ length: 3 }, () => 'not-applied'),
    );
    expect(sockets.length).toBe(1);
    await vi.waitFor(() => put(endpoint, 100), patience);
    expect(sockets.length).toBe(2);
  });

  it('is left when nothing can be made of what comes on it', async () => {
    const http2 = createHttp2();
    http2.on('session', (session) => session.on('error', () => {}));
    const sockets: Socket[] = [];
    http2.on('stream', (stream) => {
      stream.on('error', () => {});
      if (sockets.length > 1) answer(stream);
      // Node does not notice that it cannot go on after this.
      else sockets[0]?.write('a frame that is far too large');
    });
    const server = createTcp((socket) => {
      sockets.push(socket.on('error', () => {}));
      http2.emit('connection', socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    const endpoint = open(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(judge(await rejection(put(endpoint, 100)))).toBe('unknown');
    await put(endpoint);
    expect(sockets.length).toBe(2);
  });

  describe('that falls silent', () => {
    /** A server whose connections begin to be served when `begin` says so; each of its first calls is not answered. */
    const silentAtFirst = async (begin: (number: number, serveIt: () => void) => void) => {
      const http2 = createHttp2();
      http2.on('session', (session) => session.on('error', () => {}));
      let asked = 0;
      http2.on('stream', (stream) => {
        stream.on('error', () => {});
        asked += 1;
        if (asked > 1) answer(stream);
      });
      const sockets: Socket[] = [];
      const server = createTcp((socket) => {
        sockets.push(socket.on('error', () => {}));
        begin(sockets.length, () => http2.emit('connection', socket));
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      onTestFinished(() => {
        server.close();
        for (const socket of sockets) socket.destroy();
      });
      return { endpoint: open(`127.0.0.1:${(server.address() as AddressInfo).port}`), sockets };
    };

    it('is used again where another cannot be made soon', async () => {
      const { endpoint, sockets } = await silentAtFirst((number, serveIt) => {
        if (number === 1) serveIt();
      });
      expect(judge(await rejection(put(endpoint, 100)))).toBe('unknown');
      await Promise.all(many(endpoint, 3, 1_900));
      expect(sockets.length).toBe(2);
      expect(sockets[0]?.destroyed).toBe(false);
    });

    it('is followed by the one that is being made when it breaks', async () => {
      let serveSecond = (): void => {};
      const { endpoint, sockets } = await silentAtFirst((number, serveIt) => {
        if (number === 1) serveIt();
        else serveSecond = serveIt;
      });
      expect(judge(await rejection(put(endpoint, 100)))).toBe('unknown');
      await vi.waitFor(() => expect(sockets.length).toBe(2), patience);
      sockets[0]?.destroy();
      const next = put(endpoint);
      serveSecond();
      await next;
      expect(sockets.length).toBe(2);
    });

    it('is not waited for, nor the one beside it, where certificates are replaced', async () => {
      const { endpoint, sockets } = await silentAtFirst((number, serveIt) => {
        if (number !== 2) serveIt();
      });
      expect(judge(await rejection(put(endpoint, 100)))).toBe('unknown');
      await vi.waitFor(() => expect(sockets.length).toBe(2), patience);
      endpoint.renew();
      await put(endpoint);
      expect(sockets.length).toBe(3);
      await vi.waitFor(() => expect(sockets[0]?.destroyed).toBe(true));
    });

    it('is not doubted before it was silent for longer than it took to make it', async () => {
      const { endpoint, sockets } = await silentAtFirst((_, serveIt) => setTimeout(serveIt, 300));
      expect(judge(await rejection(put(endpoint, 500)))).toBe('unknown');
      await put(endpoint);
      expect(sockets.length).toBe(1);
    });
  });

  it('is not one if the server speaks something else', async () => {
    const server = createHttp1((_, response) => response.end('hello'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    expect(judge(await rejection(put(open(`127.0.0.1:${port}`))))).toBe('not-applied');
  });

  it.each(['127.0.0.1:99999', 'no.such.host.invalid:1', 'unix:/no/such/socket'])(
    'cannot be made to %s',
    async (address) => {
      const error = await rejection(put(open(address)));
      expect(error).toMatchObject({ code: Status.UNAVAILABLE });
      expect(judge(error)).toBe('not-applied');
    },
  );

  it('ends with the endpoint, also while it is being made', async () => {
    const { address, sessions } = await serve(() => {});
    const endpoint = open(address);
    const calls = many(endpoint, 3).map((call) => rejection(call));
    endpoint.close();
    for (const error of await Promise.all(calls)) expect(judge(error)).toBe('not-applied');
    await vi.waitFor(() => expect(sessions.every(({ destroyed }) => destroyed)).toBe(true));
  });
});

describe('a server that says good-bye', () => {
  it('finishes what it has taken, and gets the next call on a new connection', async () => {
    const held: ServerHttp2Stream[] = [];
    const { address, sessions } = await serve((stream) => {
      if (stream.session === sessions[0]) held.push(stream);
      else answer(stream);
    });
    const endpoint = open(address);
    const [first, second] = many(endpoint, 2);
    await vi.waitFor(() => expect(held.length).toBe(2), patience);
    sessions[0]?.goaway(constants.NGHTTP2_NO_ERROR, held[1]?.id);
    await vi.waitFor(async () => {
      await put(endpoint);
      expect(sessions.length).toBe(2);
    }, patience);
    for (const stream of held) answer(stream);
    await Promise.all([first, second]);
    await vi.waitFor(() => expect(sessions[0]?.destroyed).toBe(true), patience);
  });

  it.each([
    ['without an error', constants.NGHTTP2_NO_ERROR],
    ['with one', constants.NGHTTP2_ENHANCE_YOUR_CALM],
    ['with a misleading one', constants.NGHTTP2_REFUSED_STREAM],
  ])('gets again what it has not taken: %s', async (_, code) => {
    const held: ServerHttp2Stream[] = [];
    const { address, sessions } = await serve((stream) => {
      if (stream.session === sessions[0]) held.push(stream);
      else answer(stream);
    });
    const calls = many(open(address), 3);
    await vi.waitFor(() => expect(held.length).toBe(3), patience);
    sessions[0]?.goaway(code, held[0]?.id);
    const settled = Promise.allSettled(calls);
    if (code === constants.NGHTTP2_NO_ERROR) answer(held[0] as ServerHttp2Stream);
    const [taken, ...others] = await settled;
    expect(others.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
    const { reason } = taken as Partial<PromiseRejectedResult>;
    const isLost = code !== constants.NGHTTP2_NO_ERROR;
    expect(reason && judge(reason)).toBe(isLost ? 'unknown' : undefined);
  });

  it('is not asked a third time', async () => {
    const { address, sessions } = await serve((stream) => {
      if (stream.id === 3) stream.session?.goaway(constants.NGHTTP2_NO_ERROR, 1);
    });
    const endpoint = open(address);
    const [first, second, third] = many(endpoint, 3).map((call) => rejection(call));
    expect(judge(await third)).toBe('not-applied');
    expect(sessions.length).toBe(2);
    endpoint.close();
    expect(judge(await first)).toBe('unknown');
    expect(judge(await second)).toBe('unknown');
  });

  it('gets calls that were still waiting on the next connection', async () => {
    const handle = (stream: ServerHttp2Stream): void => {
      if (stream.session === sessions[0]) sessions[0]?.goaway(constants.NGHTTP2_NO_ERROR, 1);
      answer(stream);
    };
    const { address, sessions } = await serve(handle, { settings: { maxConcurrentStreams: 1 } });
    await Promise.all(many(open(address), 5));
    expect(sessions.length).toBe(2);
  });
});

describe('an endpoint that is renewed', () => {
  it('finishes calls where they are, and makes others on a new connection', async () => {
    const held: ServerHttp2Stream[] = [];
    const { address, sessions } = await serve((stream) => {
      if (stream.session === sessions[0]) held.push(stream);
      else answer(stream);
    });
    const endpoint = open(address);
    const first = put(endpoint);
    await vi.waitFor(() => expect(held.length).toBe(1), patience);
    endpoint.renew();
    await put(endpoint);
    expect(sessions.length).toBe(2);
    answer(held[0] as ServerHttp2Stream);
    await first;
    await vi.waitFor(() => expect(sessions[0]?.destroyed).toBe(true), patience);
  });

  it('sends calls that wait beside a silent connection on a new one, and refuses none', async () => {
    const held: ServerHttp2Stream[] = [];
    const { address, sessions, server } = await serve(
      (stream) => {
        if (stream.session === sessions[0]) held.push(stream);
        else answer(stream);
      },
      { settings: { maxConcurrentStreams: 2 } },
    );
    const endpoint = open(address);
    const first = put(endpoint, 60_000);
    await vi.waitFor(() => expect(held.length).toBe(1), patience);
    // Another connection is taken, and that is all.
    const sockets: Socket[] = [];
    const serveIt = server.listeners('connection') as ((socket: Socket) => void)[];
    server.removeAllListeners('connection').on('connection', (socket) => sockets.push(socket));
    onTestFinished(() => sockets.forEach((socket) => socket.destroy()));
    await vi.waitFor(async () => {
      await rejection(put(endpoint, 50));
      expect(sockets.length).toBe(1);
    }, patience);
    const before = held.length;
    const calls = [first, ...many(endpoint, 2, 60_000)];
    await vi.waitFor(() => expect(held.length).toBe(before + 1), patience);
    server.removeAllListeners('connection');
    for (const each of serveIt) server.on('connection', each);
    endpoint.renew();
    for (const stream of held) if (!stream.destroyed) answer(stream);
    await Promise.all(calls);
    expect(sessions.length).toBe(2);
  });

  it('keeps its streams, however often', async () => {
    await using server = await start();
    const endpoint = open(server.endpoints[0]?.replace('http://', '') ?? '');
    const stream = endpoint.watch();
    const seen: string[] = [];
    stream.on('data', ({ events, isCreated }) =>
      seen.push(isCreated ? 'created' : String(events.length)),
    );
    stream.on('error', () => seen.push('error'));
    stream.write({ create_request: { key } });
    await vi.waitFor(() => expect(seen).toEqual(['created']), patience);
    for (let n = 0; n < 3; n += 1) {
      endpoint.renew();
      await put(endpoint);
      await vi.waitFor(() => expect(seen.length).toBe(n + 2), patience);
    }
    expect(seen).toEqual(['created', '1', '1', '1']);
    stream.cancel();
  });
});

describe.each(['http2', 'grpc'] as const)('TLS over %s', (transport) => {
  const material = async (name: string): Promise<{ cert: Buffer; key: Buffer }> => {
    const dir = await mkdtemp(join(tmpdir(), 'etcd-recipes-'));
    onTestFinished(() => rm(dir, { recursive: true }));
    const [cert, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
    const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1';
    const args = `${request} -subj /CN=test -addext subjectAltName=${name}`.split(' ');
    execFileSync('openssl', [...args, '-out', cert, '-keyout', keyFile], { stdio: 'ignore' });
    return { cert: await readFile(cert), key: await readFile(keyFile) };
  };

  it('expects the host in the certificate, and no warning comes of an address', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error): number => warnings.push(warning);
    process.on('warning', warned);
    onTestFinished(() => void process.off('warning', warned));
    const tls = await material('IP:127.0.0.1');
    const { address, sessions } = await serve(answer, { tls });
    await put(open(address, { transport, tls: { ca: tls.cert } }));
    expect(sessions.length).toBe(1);
    // grpc-js asks for the address, which Node warns of.
    expect(transport === 'grpc' ? [] : warnings).toEqual([]);
  });

  it('asks for another name if told to, and expects that', async () => {
    const tls = await material('DNS:etcd.example');
    const names: unknown[] = [];
    const { address, server } = await serve(answer, { tls });
    server.on('secureConnection', ({ servername }: TLSSocket) => names.push(servername));
    const ca = tls.cert;
    await put(open(address, { transport, tls: { ca, serverName: 'etcd.example' } }));
    expect(names).toEqual(['etcd.example']);
    const strict = open(address, { transport, tls: { ca } });
    expect(judge(await rejection(put(strict)))).toBe('not-applied');
    const wrong = open(address, { transport, tls: { ca, serverName: 'other.example' } });
    expect(judge(await rejection(put(wrong)))).toBe('not-applied');
  });

  it('is not taken for established with a server nobody vouches for, until it is renewed', async () => {
    const [tls, other] = [await material('IP:127.0.0.1'), await material('IP:127.0.0.1')];
    const { address } = await serve(answer, { tls });
    const endpoint = open(address, { transport, tls: { ca: other.cert } });
    const error = await rejection(put(endpoint));
    expect(error).toMatchObject({ code: Status.UNAVAILABLE });
    expect(judge(error)).toBe('not-applied');
    endpoint.renew({ ca: tls.cert });
    await put(endpoint);
  });

  it('refuses certificates that are none', () => {
    const tls = { cert: Buffer.from('a certificate'), key: Buffer.from('a key') };
    expect(() => open('127.0.0.1:1', { transport, tls })).toThrow();
  });

  it('goes over a socket', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'etcd-recipes-'));
    onTestFinished(() => rm(dir, { recursive: true }));
    const tls = await material('DNS:localhost');
    const { address } = await serve(answer, { tls, path: join(dir, 's') });
    await put(open(address, { transport, tls: { ca: tls.cert } }));
    const plain = await serve(answer, { path: join(dir, 'p') });
    await put(open(plain.address, { transport, metadata: new Metadata() }));
  });
});
