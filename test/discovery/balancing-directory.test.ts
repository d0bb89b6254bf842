import { expect, it } from 'vitest';
import { Balancer, type Instance, NoInstanceError } from '../../src/index.js';
import { rejection } from '../../src/testing/rejection.js';
import { waitFor } from '../../src/testing/wait-for.js';
import { useEtcd } from '../support/etcd.js';

const etcd = useEtcd();

it('calls who is registered: waits for the first, and goes to nobody who drains or has gone', async () => {
  const service = (await etcd.connect()).service(etcd.name('service'));
  using directory = service.directory();
  const balancer = new Balancer(directory);
  const who = ({ address }: Instance): string => address;
  // Begins before the directory is ready.
  const waiting = balancer.call(who);
  const first = await service.register({ address: 'a' });
  expect(await waiting).toBe('a');
  const second = await service.register({ address: 'b' });
  await waitFor(async () => (await balancer.call(who)) === 'b');
  await first.close();
  await waitFor(() => directory.instances().length === 1);
  expect(await balancer.call(who)).toBe('b');
  await second.close();
  await waitFor(() => directory.instances().length === 0);
  expect(await rejection(balancer.call(who, { wait: 0 }))).toBeInstanceOf(NoInstanceError);
  directory.close();
  expect(await rejection(balancer.call(who))).toMatchObject({ code: 'ERR_CLOSED' });
});
