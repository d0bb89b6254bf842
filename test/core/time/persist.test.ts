import { expect, it } from 'vitest';
import type { CallOptions } from '../../../src/core/store/store.js';
import { systemClock } from '../../../src/core/time/clock.js';
import { Patience } from '../../../src/core/time/patience.js';
import { limitAtOneMember, persist } from '../../../src/core/time/persist.js';
import { VirtualClock } from '../../../src/embed/virtual-clock.js';
import { useEtcd } from '../../support/etcd.js';
import { has, noAnswer, override } from '../../support/override.js';

const etcd = useEtcd();

it('asks one member after the other before it gives them more time', () => {
  const patience = new Patience(500);
  const limits = Array.from({ length: 5 }, (_, tries) => limitAtOneMember(patience, tries));
  expect(limits).toEqual([500, 500, 500, 8_000, 8_000]);
});

it('pauses between tries that fail at once, and not after one that took longer', async () => {
  const began: number[] = [];
  const clock = new VirtualClock();
  const took = [0, 0, 0, 0, 700, 0, 0];
  const work = persist(
    async () => {
      const ms = took[began.length];
      began.push(clock.now());
      if (ms === undefined) return;
      await clock.sleep(ms);
      throw noAnswer();
    },
    new AbortController().signal,
    clock,
  );
  await clock.advance(10_000);
  await work;
  const pauses = began.slice(1).map((at, i) => at - (began[i] ?? 0));
  expect(pauses[4]).toBe(700);
  for (const i of [0, 1, 2, 3, 5]) expect(pauses[i]).toBeGreaterThan(0);
});

it('tells one attempt from several', async () => {
  const { signal } = new AbortController();
  const limits: unknown[] = [];
  const note = async (limit: CallOptions): Promise<void> => void limits.push(limit);
  await persist(note, signal, systemClock);
  await persist(note, signal, systemClock, () => 77);
  await persist(note, signal, systemClock, () => 0);
  expect(limits).toEqual([
    { timeout: 1_000 },
    { timeout: 77, repeated: true },
    { timeout: 0, repeated: true },
  ]);
});

it.each(['put', 'delete'] as const)(
  'leaves a member that does not answer the %s of a key in line as soon as it leaves others',
  async (kind) => {
    const limits: unknown[] = [];
    const coordinator = await etcd.connect({}, (store) =>
      override(store, {
        async commit(txn, options) {
          if (!has(kind, txn)) return store.commit(txn, options);
          limits.push(options?.timeout);
          if (limits.length < 3) throw noAnswer();
          return store.commit(txn, options);
        },
      }),
    );
    const hold = await coordinator.mutex(etcd.name()).acquire();
    expect(await hold.release()).toBe(true);
    expect(limits.slice(0, 3)).toEqual([500, 500, 500]);
  },
);
