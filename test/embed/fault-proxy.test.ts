import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ArgumentError } from '../../src/core/store/errors.js';
import { FaultProxy } from '../../src/embed/index.js';

interface Party {
  readonly socket: Socket;
  text(): string;
  events: string[];
}

function party(socket: Socket): Party {
  let received = '';
  const events: string[] = [];
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    received += chunk;
  });
  socket.on('end', () => events.push('end'));
  socket.on('error', (error: NodeJS.ErrnoException) => events.push(error.code ?? error.message));
  socket.on('close', () => events.push('close'));
  onTestFinished(() => void socket.destroy());
  return { socket, text: () => received, events };
}

async function listen(): Promise<{ server: Server; accepted: Party[]; address: string }> {
  const accepted: Party[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => accepted.push(party(socket)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { server, accepted, address: `127.0.0.1:${(server.address() as { port: number }).port}` };
}

function dialing(proxy: FaultProxy): Party {
  const port = Number(proxy.endpoint.split(':')[1]);
  return party(connect({ port, host: '127.0.0.1', allowHalfOpen: true }));
}

async function dial(proxy: FaultProxy): Promise<Party> {
  const client = dialing(proxy);
  await once(client.socket, 'connect');
  return client;
}

async function setUp(): Promise<{ proxy: FaultProxy; client: Party; server: Party; all: Party[] }> {
  const { accepted, address } = await listen();
  const proxy = await FaultProxy.start(address);
  onTestFinished(() => proxy.close());
  const client = await dial(proxy);
  await vi.waitFor(() => expect(accepted).toHaveLength(1));
  return { proxy, client, server: accepted[0] as Party, all: accepted };
}

const arrives = (at: Party, text: string): Promise<void> =>
  vi.waitFor(() => expect(at.text()).toBe(text));

describe('a healthy proxy', () => {
  it('passes bytes and ends both ways', async () => {
    const { proxy, client, server } = await setUp();
    client.socket.write('ping');
    await arrives(server, 'ping');
    client.socket.end();
    await vi.waitFor(() => expect(server.events).toEqual(['end']));
    server.socket.end('late answer');
    await arrives(client, 'late answer');
    await vi.waitFor(() => expect(client.events).toEqual(['end', 'close']));
    await vi.waitFor(() => expect(proxy.connections).toBe(0));
  });

  it('passes much more than any buffer holds, unchanged', async () => {
    const { client, server } = await setUp();
    const block = '0123456789abcdef'.repeat(64 * 1024);
    for (let count = 0; count < 24; count += 1) {
      client.socket.write(block);
    }
    client.socket.end();
    await vi.waitFor(() => expect(server.events).toContain('end'));
    expect(server.text() === block.repeat(24)).toBe(true);
  });

  it('passes a reset on', async () => {
    const { client, server } = await setUp();
    server.socket.resetAndDestroy();
    await vi.waitFor(() => expect(client.events).toEqual(['ECONNRESET', 'close']));
  });

  it('resets a client when nobody listens at its target', async () => {
    const { server, address } = await listen();
    server.close();
    await using proxy = await FaultProxy.start(`http://${address}`);
    const client = dialing(proxy);
    await vi.waitFor(() => expect(client.events).toContain('ECONNRESET'));
  });

  it('refuses a target it cannot dial', async () => {
    await expect(FaultProxy.start('127.0.0.1')).rejects.toThrow(ArgumentError);
    await expect(FaultProxy.start('http://localhost')).rejects.toThrow(ArgumentError);
    await expect(FaultProxy.start('unix:')).rejects.toThrow(/target must be .* got 'unix:'/);
  });

  it('dials the port of a URL even where it is the default of its scheme', async () => {
    await using proxy = await FaultProxy.start('http://127.0.0.1:80');
    expect(proxy.connections).toBe(0);
  });

  it.each(['unix:', 'unix://'])('dials a Unix socket as %s', async (scheme) => {
    const directory = await mkdtemp(join(tmpdir(), 'proxy-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    const path = join(directory, 'socket');
    const server = createServer((socket) => socket.pipe(socket));
    server.listen(path);
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    await using proxy = await FaultProxy.start(`${scheme}${path}`);
    const client = await dial(proxy);
    client.socket.write('echo');
    await arrives(client, 'echo');
  });

  it('listens where it is told to, and no more once closed', async () => {
    const { address } = await listen();
    const first = await FaultProxy.start(address);
    const port = Number(first.endpoint.split(':')[1]);
    await expect(FaultProxy.start(address, { port })).rejects.toThrow('EADDRINUSE');
    const client = await dial(first);
    await Promise.all([first.close(), first.close()]);
    await vi.waitFor(() => expect(client.events).toContain('close'));
    await using second = await FaultProxy.start(address, { port });
    expect(second.endpoint).toBe(first.endpoint);
  });
});

describe('a cut', () => {
  it('resets what is connected and what connects, until it heals', async () => {
    const { proxy, client, server, all } = await setUp();
    proxy.cut();
    await vi.waitFor(() => expect(client.events).toEqual(['ECONNRESET', 'close']));
    await vi.waitFor(() => expect(server.events).toEqual(['ECONNRESET', 'close']));
    const refused = dialing(proxy);
    await vi.waitFor(() => expect(refused.events).toContain('close'));
    expect(all).toHaveLength(1);
    proxy.heal();
    const again = await dial(proxy);
    again.socket.write('hello');
    await vi.waitFor(() => expect(all[1]?.text()).toBe('hello'));
  });
});

describe('a black hole', () => {
  it('withholds both ways, and delivers in order when it heals', async () => {
    const { proxy, client, server } = await setUp();
    proxy.blackhole();
    client.socket.write('1');
    server.socket.write('a');
    const late = await dial(proxy);
    late.socket.write('x');
    proxy.delay(0);
    client.socket.write('2');
    server.socket.write('b');
    expect([client.text(), server.text(), late.events]).toEqual(['', '', []]);
    proxy.heal();
    await arrives(server, '12');
    await arrives(client, 'ab');
  });

  it('can swallow one direction only', async () => {
    const { proxy, client, server } = await setUp();
    proxy.blackhole('to-client');
    client.socket.write('request');
    await arrives(server, 'request');
    server.socket.end('answer');
    client.socket.write(' again');
    await arrives(server, 'request again');
    expect([client.text(), client.events]).toEqual(['', []]);
    proxy.blackhole('to-server');
    await arrives(client, 'answer');
    client.socket.write(' unheard');
    await vi.waitFor(() => expect(client.events).toEqual(['end']));
    expect(server.text()).toBe('request again');
    proxy.heal();
    await arrives(server, 'request again unheard');
  });

  it('hides that the server is gone', async () => {
    const { proxy, client, server } = await setUp();
    proxy.blackhole();
    server.socket.resetAndDestroy();
    await vi.waitFor(() => expect(server.events).toEqual(['close']));
    const late = await dial(proxy);
    expect([client.events, late.events]).toEqual([[], []]);
    proxy.heal();
    await vi.waitFor(() => expect(client.events).toContain('close'));
  });
});

describe('a delay', () => {
  it('holds everything back for its time, in order', async () => {
    const { proxy, client, server } = await setUp();
    proxy.delay(3_600_000);
    client.socket.write('1');
    client.socket.write('2');
    client.socket.end();
    proxy.delay(10);
    await arrives(server, '12');
    await vi.waitFor(() => expect(server.events).toEqual(['end']));
  });

  it('ends when the proxy heals', async () => {
    const { proxy, client, server } = await setUp();
    proxy.delay(3_600_000);
    client.socket.write('1');
    server.socket.write('a');
    proxy.heal();
    await arrives(server, '1');
    await arrives(client, 'a');
  });

  it('may hold back one direction, or each in its own way', async () => {
    const { proxy, client, server } = await setUp();
    proxy.delay(3_600_000, 'to-client');
    client.socket.write('1');
    server.socket.write('a');
    await arrives(server, '1');
    proxy.delay(3_600_000, 'to-server');
    proxy.delay(0, 'to-client');
    await arrives(client, 'a');
    client.socket.write('2');
    server.socket.write('b');
    await arrives(client, 'ab');
    expect(server.text()).toBe('1');
  });

  it('is a finite number of milliseconds', async () => {
    const { proxy } = await setUp();
    expect(() => proxy.delay(Number.NaN)).toThrow(ArgumentError);
    expect(() => proxy.delay(-1)).toThrow(ArgumentError);
  });
});

describe('a throttle', () => {
  it('lets bytes pass at its rate, in order, and the end after them', async () => {
    const { proxy, client, server } = await setUp();
    proxy.throttle(100_000);
    const text = '0123456789'.repeat(5_000);
    const began = performance.now();
    client.socket.end(text);
    await vi.waitFor(() => expect(server.events).toEqual(['end']));
    // 50,000 bytes, less what may pass in a burst.
    expect(performance.now() - began).toBeGreaterThan(400);
    expect(server.text() === text).toBe(true);
  });

  it('keeps a fast sender waiting', async () => {
    const { proxy, client, server } = await setUp();
    proxy.throttle(1, 'to-server');
    const block = Buffer.alloc(1024 * 1024);
    for (let count = 0; count < 64; count += 1) client.socket.write(block);
    server.socket.write('passes');
    await arrives(client, 'passes');
    // Until the second byte has come there was time to swallow everything.
    await vi.waitFor(() => expect(server.text().length).toBeGreaterThan(1));
    // What the systems of both ends hold is a few MiB at most.
    expect(client.socket.writableLength).toBeGreaterThan(32 * 1024 * 1024);
    expect(server.text().length).toBeLessThan(1_000);
  });

  it('ends when the proxy heals, and what waited arrives at once', async () => {
    const { proxy, client, server } = await setUp();
    proxy.throttle(1);
    const text = 'x'.repeat(500_000);
    client.socket.write(text);
    await vi.waitFor(() => expect(server.text()).toMatch(/^x/));
    expect(server.text().length).toBeLessThan(1_000);
    proxy.heal();
    await vi.waitFor(() => expect(server.text().length).toBe(500_000));
  });

  it('can be of one direction, and of both in different ways', async () => {
    const { proxy, client, server } = await setUp();
    proxy.throttle(1, 'to-client');
    const text = 'x'.repeat(100_000);
    client.socket.write(text);
    server.socket.write(text);
    await vi.waitFor(() => expect(server.text().length).toBe(100_000));
    expect(client.text().length).toBeLessThan(1_000);
    proxy.throttle(1, 'to-server');
    proxy.throttle(Number.POSITIVE_INFINITY, 'to-client');
    await vi.waitFor(() => expect(client.text().length).toBe(100_000));
  });

  it('adds to a delay', async () => {
    const { proxy, client, server } = await setUp();
    proxy.throttle(1, 'to-server');
    proxy.delay(3_600_000, 'to-server');
    client.socket.write('late');
    server.socket.write('answer');
    await arrives(client, 'answer');
    expect(server.text()).toBe('');
    proxy.delay(0);
    await vi.waitFor(() => expect(server.text()).toMatch(/^l/));
    proxy.throttle(1_000_000);
    await arrives(server, 'late');
  });

  it('is of each connection', async () => {
    const { proxy, client, server, all } = await setUp();
    proxy.throttle(1);
    client.socket.write('x'.repeat(10_000));
    await vi.waitFor(() => expect(server.text()).toMatch(/^x/));
    const second = await dial(proxy);
    second.socket.write('y');
    await vi.waitFor(() => expect(all[1]?.text()).toBe('y'));
  });

  it.each([0, -1, Number.NaN, '5' as never])('is no rate of %s', async (rate) => {
    const { proxy } = await setUp();
    expect(() => proxy.throttle(rate)).toThrow(ArgumentError);
  });

  it('has a direction that there is', async () => {
    const { proxy } = await setUp();
    expect(() => proxy.throttle(1, 'sideways' as never)).toThrow(/direction must be 'both', /);
    expect(() => proxy.blackhole('sideways' as never)).toThrow(ArgumentError);
  });
});
