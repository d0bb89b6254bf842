import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestEtcd } from './etcd.js';

/** A way to etcd that counts what is said on it, for all who use it together. */
export interface Meter {
  readonly endpoint: string;
  /** Bytes that etcd has sent. */
  received: number;
  /** Bytes that etcd was sent. */
  sent: number;
}

/** Opens one, to be closed after the test. */
export async function startMeter(etcd: TestEtcd): Promise<Meter> {
  const { hostname, port } = new URL(etcd.endpoint);
  const sockets = new Set<Socket>();
  const server = createServer((inner) => {
    const outer = connect(Number(port), hostname);
    for (const [from, to, count] of [
      [inner, outer, 'sent'],
      [outer, inner, 'received'],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on('data', (chunk: Buffer) => {
        meter[count] += chunk.length;
        to.write(chunk);
      });
      from.on('close', () => to.destroy());
      from.on('error', () => to.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address() as AddressInfo;
  const meter: Meter = { endpoint: `http://127.0.0.1:${address.port}`, received: 0, sent: 0 };
  etcd.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return meter;
}
