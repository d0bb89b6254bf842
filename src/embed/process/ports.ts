import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

// Systems hand out ports for outgoing connections from 32768 up (Linux) or 49152 up: one of those may be taken
// between the probe and its use, even while a member is restarted.
const FIRST = 10_000;
const LAST = 32_767;
const TRIES = 64;

/** Finds `count` different ports that nobody listens on at 127.0.0.1 right now. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    ports.add(await freePort());
  }
  return [...ports];
}

async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1));
    if ((await probe(port)) !== undefined) {
      return port;
    }
  }
  return (await probe(0)) ?? freePort();
}

async function probe(port: number): Promise<number | undefined> {
  const server = createServer();
  try {
    server.listen({ port, host: '127.0.0.1', exclusive: true });
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  } catch {
    return undefined;
  } finally {
    server.close();
  }
}
