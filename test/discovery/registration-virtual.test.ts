import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Coordinator, HealthOptions, Registration, Service, Store } from '../../src/index.js';
import { startTestEtcd, type TestEtcd } from '../../src/testing/index.js';
import { override } from '../support/override.js';

let etcd: TestEtcd;
beforeEach(async () => {
  etcd = await startTestEtcd({ time: 'virtual' });
});
afterEach(() => etcd.stop());

/** What becomes of a promise while time goes by. */
async function outcome<T>(promise: Promise<T>): Promise<T> {
  const over = new AbortController();
  const end = (): void => over.abort();
  promise.then(end, end);
  while (!over.signal.aborted) await etcd.advance(100);
  return promise;
}

/** A registration that follows a check whose answers a test gives. */
async function checked(
  options: Partial<HealthOptions> = {},
  layout: 'recipes' | 'go-kit' = 'recipes',
): Promise<{
  readonly coordinator: Coordinator;
  readonly service: Service;
  readonly registration: Registration;
  readonly answer: { is: boolean | 'throws' | 'hangs'; aborted: number };
}> {
  const coordinator = await etcd.connect();
  const service = coordinator.service(etcd.name(), { layout });
  const answer: Awaited<ReturnType<typeof checked>>['answer'] = { is: true, aborted: 0 };
  const check = (signal: AbortSignal): boolean | Promise<boolean> => {
    if (answer.is === 'throws') throw new Error('ill');
    if (answer.is !== 'hangs') return answer.is;
    signal.addEventListener('abort', () => (answer.aborted += 1));
    return new Promise(() => {});
  };
  const health = { check, interval: 1_000, failures: 3, successes: 2, ...options };
  const registration = await outcome(service.register({ id: 'a', address: 'a' }, { health }));
  return { coordinator, service, registration, answer };
}

it('is unhealthy after as many failures in a row as it may have, and healthy again after as many successes', async () => {
  const { registration, answer } = await checked();
  const states: string[] = [];
  registration.on('state', ({ state }) => states.push(state));
  answer.is = false;
  await etcd.advance(2_500);
  answer.is = true;
  await etcd.advance(1_000);
  answer.is = 'throws';
  await etcd.advance(2_000);
  expect([registration.state, states]).toEqual(['up', []]);
  await etcd.advance(1_000);
  expect([registration.state, states]).toEqual(['unhealthy', ['unhealthy']]);
  answer.is = true;
  await etcd.advance(1_000);
  answer.is = false;
  await etcd.advance(1_000);
  answer.is = true;
  await etcd.advance(1_000);
  expect(registration.state).toBe('unhealthy');
  await etcd.advance(1_000);
  expect([registration.state, states]).toEqual(['up', ['unhealthy', 'up']]);
});

it('takes a check that does not answer in time for a failure, and aborts its signal', async () => {
  const { service, registration, answer } = await checked({ timeout: 200, failures: 1 });
  answer.is = 'hangs';
  await etcd.advance(1_200);
  expect([registration.state, answer.aborted]).toEqual(['unhealthy', 1]);
  using directory = service.directory({ states: ['unhealthy'] });
  await outcome(directory.ready());
  expect(directory.instances().map(({ id }) => id)).toEqual(['a']);
  await outcome(registration.close());
  answer.is = true;
  await etcd.advance(10_000);
  expect(directory.instances()).toEqual([]);
});

it('takes itself out while it is not healthy where the layout has no room to say so', async () => {
  const { service, registration, answer } = await checked({ failures: 1, successes: 1 }, 'go-kit');
  using directory = service.directory();
  await outcome(directory.ready());
  expect(directory.instances().length).toBe(1);
  const told: string[] = [];
  registration.on('lost', ({ reason }) => told.push(`lost ${reason}`));
  registration.on('registered', () => told.push('registered'));
  answer.is = false;
  await etcd.advance(1_500);
  expect(directory.instances().length).toBe(0);
  await outcome(registration.update({ address: 'b' }));
  expect(directory.instances().length).toBe(0);
  answer.is = true;
  await etcd.advance(1_500);
  expect(directory.instances().map(({ address }) => address)).toEqual(['b']);
  expect(told).toEqual(['registered']);
});

it.each(['after', 'while'])(
  'is deleted once where it is closed %s it is taken out for want of room to say that it drains',
  async (when) => {
    let deletions = 0;
    const decorate = (store: Store): Store =>
      override(store, {
        commit: async (txn, options) => {
          // Which may be conditional.
          if (txn.success?.some((step) => 'delete' in step || 'txn' in step)) deletions += 1;
          await etcd.server.clock.sleep(10);
          return store.commit(txn, options);
        },
      });
    const coordinator = await etcd.connect({ decorate });
    const service = coordinator.service(etcd.name(), { layout: 'go-kit' });
    const registration = await outcome(service.register({ id: 'a', address: 'a' }));
    const drained = registration.drain().catch(() => {});
    if (when === 'after') await outcome(drained);
    else await etcd.advance(5);
    await outcome(registration.close());
    expect(deletions).toBe(1);
    expect((await etcd.store.read({ key: registration.key })).count).toBe(0);
  },
);

it('is not called before its first check has passed', async () => {
  const coordinator = await etcd.connect();
  const service = coordinator.service(etcd.name());
  const health = { check: () => false, interval: 1_000 };
  const registration = await outcome(service.register({ address: 'a' }, { health }));
  expect(registration.state).toBe('unhealthy');
  using directory = service.directory();
  await outcome(directory.ready());
  expect(directory.instances()).toEqual([]);
});

it('drains also while it is unhealthy, and is unhealthy again when it resumes', async () => {
  const { registration, answer } = await checked({ failures: 1 });
  answer.is = false;
  await etcd.advance(1_000);
  await outcome(registration.drain());
  expect(registration.state).toBe('draining');
  await outcome(registration.resume());
  expect(registration.state).toBe('unhealthy');
});
