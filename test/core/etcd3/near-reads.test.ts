import { expect, it, onTestFinished } from 'vitest';
import { FieldWriter } from '../../../src/core/etcd3/wire/field-writer.js';
import { Etcd3Store } from '../../../src/index.js';
import { framed, reply, serve } from '../../support/hostile-server.js';

/** The reply to a read at this revision that found nothing. */
function nothingAt(revision: bigint): Buffer {
  const writer = new FieldWriter();
  writer.number(3, revision);
  writer.nest(1, 0);
  return framed(writer.finish());
}

it('a read of what the nearest member has, which is behind, has one limit for both questions', async () => {
  const late = 200;
  const replies = [
    { revision: 10n, after: 0 },
    { revision: 5n, after: late },
    { revision: 11n, after: 0 },
  ];
  const { address, headers } = await serve((stream) => {
    const { revision, after } = replies[headers.length - 1] as (typeof replies)[number];
    setTimeout(() => reply(stream.resume(), [nothingAt(revision)]), after);
  });
  const store = new Etcd3Store({ endpoints: [address], attemptTimeout: 1_000 });
  onTestFinished(() => store.close());
  await store.read({ key: 'k' });
  const { revision } = await store.read({ key: 'k' }, { serializable: true });
  expect(revision).toBe(11n);
  const [, near, again] = headers.map((each) => Number.parseInt(String(each['grpc-timeout']), 10));
  expect(again).toBeLessThanOrEqual((near as number) - late + 1);
});

it('a read of what the nearest member has is answered without a leader only once nobody knows of one', async () => {
  const cutOff = await serve((stream, { hasleader }) => {
    const trailers = { 'grpc-status': '14', 'grpc-message': 'etcdserver: no leader' };
    if (hasleader) reply(stream.resume(), [], trailers);
    else reply(stream.resume(), [nothingAt(5n)]);
  });
  const led = await serve((stream) => reply(stream.resume(), [nothingAt(7n)]));
  const near = async (...endpoints: string[]): Promise<bigint> => {
    const store = new Etcd3Store({ endpoints });
    onTestFinished(() => store.close());
    return (await store.read({ key: 'k' }, { serializable: true })).revision;
  };
  expect(await near(cutOff.address, led.address)).toBe(7n);
  expect(cutOff.headers.every(({ hasleader }) => hasleader === 'true')).toBe(true);
  expect(await near(cutOff.address)).toBe(5n);
});

it('a read of what the nearest member has is not answered with less than was seen, leader or not', async () => {
  let revision = 9n;
  const { address } = await serve((stream, { hasleader }) => {
    const trailers = { 'grpc-status': '14', 'grpc-message': 'etcdserver: no leader' };
    if (revision < 9n && hasleader) reply(stream.resume(), [], trailers);
    else reply(stream.resume(), [nothingAt(revision)]);
  });
  const store = new Etcd3Store({ endpoints: [address] });
  onTestFinished(() => store.close());
  await store.read({ key: 'k' });
  revision = 8n;
  const stale = store.read({ key: 'k' }, { serializable: true, timeout: 200 });
  await expect(stale).rejects.toMatchObject({ code: 'ERR_UNAVAILABLE' });
});
