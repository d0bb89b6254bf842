import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, inject, onTestFinished, vi } from 'vitest';
import { BatchingStore } from '../../src/core/commit/batching-store.js';
import { ExactlyOnceStore } from '../../src/core/commit/exactly-once-store.js';
import type { Coordinator, KeyRange, Store } from '../../src/index.js';
import { startTestEtcd } from '../../src/testing/index.js';
import type { TestEtcd } from './etcd.js';
import { noAnswer, override } from './override.js';
import { Traffic } from './traffic.js';

const ttl = 5_000;
/** So long do waits take that have a limit, where time can be had pass. */
export const limit: number = 2 * ttl;
/** So many milliseconds does a play take at most. */
const longest = 8_000;
/** After so many milliseconds a hold has a watch of its key. */
const watched = 25;
const never: AbortSignal = new AbortController().signal;

/**
 * Where schedules at random are tried against a model: thousands on the in-process etcd, where time stands still and all that
 * follows from a step is done before the next, and a few on the real one.
 */
export interface Stage {
  readonly admin: Store;
  /** As many as were asked for, each as a process of its own, whose number is its label. */
  readonly processes: readonly Coordinator[];
  /** Whether `pass` lets time pass. */
  readonly hasTime: boolean;
  /** Lets waits that have a limit reach it. */
  pass(): Promise<void>;
  /** Ends the session of a process, by its silence or by somebody who revokes its lease; it begins anew. */
  end(who: number, how: 'expire' | 'revoke'): Promise<void>;
  /** Lets all happen that follows from a step, and then has `check` hold. */
  settle(check: () => Promise<void> | void): Promise<void>;
}

/** How a recipe is tried by steps at random. */
export interface Play<Step, Model, System> {
  readonly step: fc.Arbitrary<Step>;
  readonly model: () => Model;
  readonly system: (stage: Stage) => System;
  /** Whether the step makes sense now. */
  can(model: Model, step: Step, stage: Stage): boolean;
  /** Does the step to the model; gives what it is to come to, if it gives something. */
  apply(model: Model, step: Step): unknown;
  /** Does it to the recipe, knowing what was expected. */
  run(system: System, step: Step, model: Model, expected: unknown): Promise<void>;
  /** Whether the recipe is as the model says. */
  check(system: System, model: Model): Promise<void> | void;
  /** Ends what is left. */
  finish(system: System, model: Model): Promise<void>;
  /** What is to be empty then. */
  readonly leftovers: (system: System) => KeyRange;
}

/** Plays so many schedules, each with names of its own; a few of them on the real etcd. */
export async function play<Step, Model extends object, System extends object>(
  etcd: TestEtcd,
  { processes, runs }: { readonly processes: number; readonly runs: number },
  given: Play<Step, Model, System>,
): Promise<void> {
  const stage = await openStage(etcd, processes);
  const commands = fc.commands(
    [
      given.step.map(
        (step): fc.AsyncCommand<Model, System> => ({
          check: (model) => given.can(model, step, stage),
          async run(model, system) {
            const expected = given.apply(model, step);
            await given.run(system, step, model, expected);
            await stage.settle(() => given.check(system, model));
          },
          toString: () => JSON.stringify(step),
        }),
      ),
    ],
    { maxCommands: 40, size: '+1' },
  );
  // A schedule is played to its end: one that is interrupted would go on while its etcd is stopped.
  const end = performance.now() + longest;
  await fc.assert(
    fc.asyncProperty(commands, async (steps) => {
      if (performance.now() > end) return;
      const [model, system] = [given.model(), given.system(stage)];
      await fc.asyncModelRun(() => ({ model, real: system }), steps);
      await given.finish(system, model);
      await stage.settle(async () => {
        const { kvs } = await stage.admin.read(given.leftovers(system));
        const keys = kvs.filter(({ lease }) => lease > 0n).map(({ key }) => key.toString());
        if (keys.length > 0) throw new Error(`left behind: ${keys.join()}`);
      });
    }),
    {
      numRuns: stage.hasTime ? runs : Math.ceil(runs / 100),
      endOnFailure: true,
    },
  );
}

function openStage(etcd: TestEtcd, processes: number): Promise<Stage> {
  return inject('engine') === 'etcd' ? realStage(etcd, processes) : virtualStage(processes);
}

async function virtualStage(count: number): Promise<Stage> {
  const etcd = await startTestEtcd({ time: 'virtual' });
  onTestFinished(() => etcd.stop());
  const silent = new Set<number>();
  const processes: Coordinator[] = [];
  for (let i = 0; i < count; i += 1) {
    const decorate = (store: Store): Store =>
      override(store, {
        keepAlive: (...args) =>
          silent.has(i) ? Promise.reject(noAnswer()) : store.keepAlive(...args),
      });
    processes.push(await etcd.connect({ session: { ttl, label: `${i}` }, decorate }));
  }
  return {
    admin: etcd.store,
    processes,
    hasTime: true,
    pass: () => etcd.advance(limit),
    async end(who, how) {
      const { session } = processes[who] as Coordinator;
      const { signal } = session;
      if (how === 'revoke') {
        await etcd.expire(session);
        await until(signal, () => Promise.all([session.freeLease?.ask(), etcd.advance(0)]));
      } else {
        silent.add(who);
        await etcd.advance(limit);
        silent.delete(who);
        await until(signal, () => etcd.advance(0));
      }
      await Promise.all([session.lastingLease(never), etcd.advance(0)]);
    },
    async settle(check) {
      for (let tries = 0; ; tries += 1) {
        await etcd.advance(watched);
        await etcd.advance(0);
        try {
          await check();
          return;
        } catch (error) {
          if (tries === 20) throw error;
        }
      }
    },
  };
}

async function realStage(etcd: TestEtcd, count: number): Promise<Stage> {
  const traffic = new Traffic();
  const decorate = (store: Store): Store =>
    traffic.through(new BatchingStore(new ExactlyOnceStore(store)));
  const processes: Coordinator[] = [];
  for (let i = 0; i < count; i += 1) {
    processes.push(await etcd.connect({ session: { label: `${i}` } }, decorate));
  }
  return {
    admin: etcd.admin,
    processes,
    hasTime: false,
    pass: () => Promise.resolve(),
    async end(who) {
      const { session } = processes[who] as Coordinator;
      const { signal } = session;
      await etcd.admin.revoke(session.id);
      await until(signal, async () => {
        await session.freeLease?.ask();
        await delay(2);
      });
      await session.lastingLease(never);
    },
    async settle(check) {
      await delay(watched);
      const quietly = async (): Promise<void> => {
        // Keys may look right already while somebody is about to act on what he has not read yet.
        expect(traffic.isQuiet).toBe(true);
        await check();
        expect(traffic.isQuiet).toBe(true);
      };
      await vi.waitFor(quietly, { timeout: 10_000, interval: 2 });
    },
  };
}

async function until(signal: AbortSignal, turn: () => Promise<unknown>): Promise<void> {
  for (let turns = 0; !signal.aborted; turns += 1) {
    if (turns === 1_000) throw new Error('the session goes on');
    await turn();
  }
}
