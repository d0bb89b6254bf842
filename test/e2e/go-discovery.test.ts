import { afterAll, expect, it, vi } from 'vitest';
import type { Directory, Service } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { buildGoClient, type GoProcess } from './support/go-client.js';

const etcd = useEtcd();
const client = await buildGoClient();
afterAll(() => client.remove());
const patience = { timeout: 60_000, interval: 10 };

/** A service of ours, seen by us, and a program in Go that has the same. */
async function setUp(
  layout: 'go' | 'go-kit',
): Promise<{ service: Service; directory: Directory; go: GoProcess }> {
  const name = `services/${etcd.name()}`;
  const service = (await etcd.connect()).service(name, { layout });
  const directory = service.directory();
  await directory.ready();
  const go = client.discover(etcd.endpoint, layout, name);
  etcd.defer(() => go.process.kill('SIGKILL'));
  await vi.waitFor(() => expect(go.lines).toContain('ready'), patience);
  return { service, directory, go };
}

/** Waits until both see these addresses; Go's own packages with their metadata. */
async function bothSee(
  { directory, go }: { directory: Directory; go: GoProcess },
  seen: Readonly<Record<string, string>>,
): Promise<void> {
  const addresses = Object.keys(seen).toSorted();
  const line = `sees ${Object.entries(seen)
    .map(([address, more]) => `${address} ${more}`.trim())
    .toSorted()
    .join(', ')}`;
  await vi.waitFor(() => {
    expect(
      directory
        .instances()
        .map(({ address }) => address)
        .toSorted(),
    ).toEqual(addresses);
    expect(go.lines.at(-1)).toBe(line);
  }, patience);
}

it.each(['go', 'go-kit'] as const)(
  'with the layout %s, Go and we find each other’s instances',
  async (layout) => {
    const both = await setUp(layout);
    const { service, directory, go } = both;
    const isGo = layout === 'go';
    const ofGo = isGo ? '{"by":"Go"}' : '';
    const registration = await service.register({
      id: 'ours',
      address: '10.0.0.1:80',
      ...(isGo && { metadata: { n: 1 } }),
    });
    const ours = isGo ? '{"n":1}' : '';
    await bothSee(both, { '10.0.0.1:80': ours });
    go.tell('register go 10.0.0.2:80');
    await bothSee(both, { '10.0.0.1:80': ours, '10.0.0.2:80': ofGo });
    const [, found] = directory.instances().toSorted((a, b) => (a.address < b.address ? -1 : 1));
    expect(found).toEqual({
      id: 'go',
      address: '10.0.0.2:80',
      state: 'up',
      ...(isGo && { metadata: { by: 'Go' } }),
    });
    // There is no room for a state: who drains is not there.
    await registration.drain();
    await bothSee(both, { '10.0.0.2:80': ofGo });
    await registration.update({ address: '10.0.0.3:80' });
    await registration.resume();
    await bothSee(both, { '10.0.0.3:80': ours, '10.0.0.2:80': ofGo });
    go.tell('deregister go');
    await bothSee(both, { '10.0.0.3:80': ours });
    go.tell('register go 10.0.0.4:80');
    await bothSee(both, { '10.0.0.3:80': ours, '10.0.0.4:80': ofGo });
    go.process.kill('SIGKILL');
    await vi.waitFor(() => expect(directory.instances().length).toBe(1), patience);
    await registration.close();
    await vi.waitFor(() => expect(directory.instances()).toEqual([]), patience);
  },
);
