import type { ServerHttp2Stream } from 'node:http2';
import { Metadata, status as Status } from '@grpc/grpc-js';
import { expect, it, onTestFinished } from 'vitest';
import type { Endpoint } from '../../../src/core/etcd3/endpoint.js';
import { Login } from '../../../src/core/etcd3/login.js';
import { VirtualClock } from '../../../src/embed/virtual-clock.js';
import { Etcd3Store } from '../../../src/index.js';
import { framed, reply, serve } from '../../support/hostile-server.js';

/** A header with a revision. */
const done = framed(Buffer.from([0x0a, 2, 0x18, 1]));
const refuse = (stream: ServerHttp2Stream, code: Status, message: string): void => {
  reply(stream, [], { 'grpc-status': String(code), 'grpc-message': message });
};

it('a token that is refused is not sent again, not even that of the first login', async () => {
  const asked: unknown[] = [];
  const { address } = await serve((stream, { ':path': path }) => {
    asked.push(path);
    if (path === '/etcdserverpb.Auth/Authenticate') {
      refuse(stream, Status.FAILED_PRECONDITION, 'etcdserver: authentication is not enabled');
    } else if (asked.length === 2) {
      refuse(stream, Status.UNAUTHENTICATED, 'etcdserver: invalid auth token');
    } else reply(stream, [done]);
  });
  const auth = { user: 'root', password: 'secret' };
  const store = new Etcd3Store({ endpoints: [address], auth, timeout: 60_000 });
  onTestFinished(() => store.close());
  await store.commit({ success: [{ put: { key: 'k', value: '' } }] });
  const [login, put] = ['/etcdserverpb.Auth/Authenticate', '/etcdserverpb.KV/Put'];
  expect(asked).toEqual([login, put, login, put]);
});

it('a login that failed is no answer to who comes after one that succeeded', async () => {
  const metadata = new Metadata();
  const login = new Login({ user: 'root', password: 'secret' }, metadata, new VirtualClock());
  const answers = [async () => Promise.reject(new Error('slow start'))];
  const endpoint = { auth: { authenticate: () => answers.shift()?.() ?? { token: 't' } } };
  const ensure = (): Promise<void> => login.ensure(endpoint as unknown as Endpoint, 1_000);
  await expect(ensure()).rejects.toThrow('slow start');
  for (let turns = 0; turns <= 12; turns += 1) {
    login.forget();
    const both = Promise.all([ensure(), ensure()]);
    // The new token is refused, too.
    for (let i = 0; i < turns; i += 1) await Promise.resolve();
    login.forget();
    await both;
  }
});
