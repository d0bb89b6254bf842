import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type Observed, watchOver } from '../../../../src/core/etcd3/transport/liveness.js';
import { serve } from '../../../support/hostile-server.js';

const patience = { timeout: 60_000, interval: 5 };
const short = { silence: 20, answer: 20 };

/** Watches over a connection; how often it was asked, and how often found dead. */
async function observe(
  address: string,
  isBusy: boolean,
): Promise<{ asked: number; dead: number; session: ClientHttp2Session }> {
  const session = connect(`http://${address}`);
  session.on('error', () => {});
  onTestFinished(() => session.destroy());
  await once(session, 'connect');
  const found = { asked: 0, dead: 0, session };
  const ping = session.ping.bind(session);
  const counted = (...args: Parameters<typeof ping>): boolean => {
    found.asked += 1;
    return ping(...args);
  };
  const observed: Observed = {
    session: new Proxy(session, {
      get: (target, name) => (name === 'ping' ? counted : Reflect.get(target, name, target)),
    }),
    heard: () => 0,
    isBusy: () => isBusy,
    dead: () => {
      found.dead += 1;
    },
  };
  onTestFinished(watchOver(observed, short));
  return found;
}

/** Accepts connections and says nothing on them. */
async function mute(): Promise<string> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => {}).resume());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('a silent connection', () => {
  it('is found dead if it does not answer while calls wait', async () => {
    const found = await observe(await mute(), true);
    await vi.waitFor(() => expect(found.dead).toBeGreaterThan(0), patience);
    expect(found.asked).toBeGreaterThan(0);
  });

  it('is left alone if it answers', async () => {
    const { address } = await serve(() => {});
    const found = await observe(address, true);
    await vi.waitFor(() => expect(found.asked).toBeGreaterThan(2), patience);
    expect(found.dead).toBe(0);
  });

  it('is not asked while nobody waits', async () => {
    const [idle, busy] = [await observe(await mute(), false), await observe(await mute(), true)];
    await vi.waitFor(() => expect(busy.asked).toBeGreaterThan(2), patience);
    expect(idle).toMatchObject({ asked: 0, dead: 0 });
  });
});
