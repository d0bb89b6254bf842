import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isLoss } from '../../src/core/store/errors.js';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import {
  BrokenBarrierError,
  type CyclicBarrier,
  type DoubleBarrier,
  type Gate,
  type Hold,
  type Latch,
  type Passage,
  WaitTimeoutError,
} from '../../src/index.js';
import { Call, enough } from '../support/call.js';
import { useEtcd } from '../support/etcd.js';
import { limit, play, type Stage } from '../support/stage.js';

const etcd = useEtcd();
const processes = 3;

const who = fc.nat(processes - 1);
const nth = fc.nat(11);
const timed = fc.integer({ min: 0, max: 3 }).map((n) => n === 0);
const end = fc.record({
  do: fc.constant('end' as const),
  who,
  how: fc.constantFrom('expire' as const, 'revoke' as const),
});
const pass = fc.constant({ do: 'pass' as const });

interface End {
  readonly do: 'end';
  readonly who: number;
  readonly how: 'expire' | 'revoke';
}

/** Somebody who waits. */
interface Wait {
  readonly id: number;
  readonly who: number;
  readonly timed: boolean;
}

/** How a wait is to have ended. */
type Outcome =
  | { readonly passed: unknown }
  | 'aborted'
  | 'timeout'
  | 'lost'
  | { readonly broken: unknown };

/** Those who wait, and those who have done so since the last look. */
interface Waits {
  ids: number;
  waiting: Wait[];
  readonly ended: Map<number, Outcome>;
}

const noWaits = (): Waits => ({ ids: 0, waiting: [], ended: new Map() });

function come(waits: Waits, by: number, isTimed: boolean): number {
  const id = waits.ids;
  waits.ids += 1;
  waits.waiting.push({ id, who: by, timed: isTimed });
  return id;
}

function endAll(waits: Waits, outcome: (wait: Wait, i: number) => Outcome): void {
  for (const [i, wait] of waits.waiting.entries()) waits.ended.set(wait.id, outcome(wait, i));
  waits.waiting = [];
}

function pick<T>(all: readonly T[], n: number): T | undefined {
  return all[n % all.length];
}

/** The calls that wait, by their IDs. */
class Calls<T> {
  readonly #calls = new Map<number, Call<T>>();

  add(id: number, isTimed: boolean, wait: (options: object) => Promise<T>): void {
    this.#calls.set(
      id,
      new Call((with_) => wait({ ...with_, ...(isTimed && { timeout: limit }) })),
    );
  }

  get(id: number): Call<T> {
    return this.#calls.get(id) as Call<T>;
  }

  /** Whether those wait who are to, and the others have ended as they are to. */
  check({ waiting, ended }: Waits): void {
    for (const { id } of waiting)
      expect([id, this.get(id)]).toMatchObject([id, { state: 'waiting' }]);
    for (const [id, outcome] of ended)
      expect([id, this.#outcomeOf(this.get(id))]).toEqual([id, outcome]);
    ended.clear();
  }

  #outcomeOf({ state, value, error }: Call<T>): unknown {
    if (state === 'waiting') return 'waiting';
    if (state === 'done') return { passed: value };
    if (error === enough) return 'aborted';
    if (error instanceof WaitTimeoutError) return 'timeout';
    if (isLoss(error)) return 'lost';
    if (!(error instanceof BrokenBarrierError)) return error;
    const { generation, reason, party } = error;
    return { broken: { generation, reason, by: Number(party?.label) } };
  }
}

interface GateModel extends Waits {
  raised: boolean;
  boundTo: number | undefined;
}

type GateStep =
  | { readonly do: 'raise'; readonly who: number; readonly bound: boolean }
  | { readonly do: 'lift'; readonly who: number }
  | { readonly do: 'wait'; readonly who: number; readonly timed: boolean }
  | { readonly do: 'cancel'; readonly nth: number }
  | End
  | { readonly do: 'pass' | 'delete' };

function lift(model: GateModel): boolean {
  const was = model.raised;
  model.raised = false;
  model.boundTo = undefined;
  endAll(model, () => ({ passed: undefined }));
  return was;
}

function timeOut(model: Waits): void {
  for (const { id } of model.waiting.filter((wait) => wait.timed)) model.ended.set(id, 'timeout');
  model.waiting = model.waiting.filter((wait) => !wait.timed);
}

function cancel(model: Waits, n: number): number {
  const { id } = pick(model.waiting, n) as Wait;
  model.waiting = model.waiting.filter((wait) => wait.id !== id);
  model.ended.set(id, 'aborted');
  return id;
}

/** Whether a step can be done where waits can be given up, and time may stand still. */
function canWait(
  model: Waits,
  step: { do: string; timed?: boolean; nth?: number },
  { hasTime }: Stage,
): boolean {
  if (step.do === 'pass' || step.timed) return hasTime;
  return step.nth === undefined || model.waiting.length > 0;
}

class GateSystem extends Calls<void> {
  readonly name: string = etcd.name();
  readonly gates: readonly Gate[];
  readonly stage: Stage;

  constructor(stage: Stage) {
    super();
    this.stage = stage;
    this.gates = stage.processes.map((each) => each.gate(this.name));
  }

  async run(step: GateStep, expected: unknown): Promise<void> {
    const gate = this.gates['who' in step ? step.who : 0] as Gate;
    if (step.do === 'raise') expect(await gate.raise({ bound: step.bound })).toBe(expected);
    else if (step.do === 'lift') expect(await gate.lift()).toBe(expected);
    else if (step.do === 'wait')
      this.add(expected as number, step.timed, (wait) => gate.wait(wait));
    else if (step.do === 'cancel') this.get(expected as number).abort();
    else if (step.do === 'end') await this.stage.end(step.who, step.how);
    else if (step.do === 'pass') await this.stage.pass();
    else {
      const range = prefixRange(folderOf('gate', this.name));
      await this.stage.admin.commit({ success: [{ delete: range }] });
    }
  }
}

it('a gate does as a model of one thread does, in any order of steps', {
  timeout: 120_000,
}, async () => {
  const apply = (model: GateModel, step: GateStep): unknown => {
    switch (step.do) {
      case 'raise': {
        const was = model.raised;
        model.raised = true;
        if (!was) model.boundTo = step.bound ? step.who : undefined;
        return !was;
      }
      case 'lift':
      case 'delete':
        return lift(model);
      case 'wait': {
        const id = come(model, step.who, step.timed);
        if (!model.raised) lift(model);
        return id;
      }
      case 'cancel':
        return cancel(model, step.nth);
      case 'end':
        if (model.boundTo === step.who) lift(model);
        if (step.how === 'expire') timeOut(model);
        return undefined;
      default:
        return timeOut(model);
    }
  };
  await play<GateStep, GateModel, GateSystem>(
    etcd,
    { processes, runs: 500 },
    {
      step: fc.oneof(
        {
          weight: 3,
          arbitrary: fc.record({ do: fc.constant('raise' as const), who, bound: fc.boolean() }),
        },
        { weight: 2, arbitrary: fc.record({ do: fc.constant('lift' as const), who }) },
        { weight: 5, arbitrary: fc.record({ do: fc.constant('wait' as const), who, timed }) },
        { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel' as const), nth }) },
        { weight: 1, arbitrary: end },
        { weight: 1, arbitrary: pass },
        { weight: 1, arbitrary: fc.constant({ do: 'delete' as const }) },
      ),
      model: () => ({ ...noWaits(), raised: false, boundTo: undefined }),
      system: (stage) => new GateSystem(stage),
      can: canWait,
      apply,
      run: (system, step, _, expected) => system.run(step, expected),
      async check(system, model) {
        system.check(model);
        expect((await (system.gates[0] as Gate).inspect()).raised).toBe(model.raised);
      },
      async finish(system, model) {
        lift(model);
        await (system.gates[0] as Gate).lift();
      },
      leftovers: ({ name }) => prefixRange(folderOf('gate', name)),
    },
  );
});

interface LatchModel extends Waits {
  parties: number[];
}

type LatchStep =
  | { readonly do: 'count down'; readonly who: number; readonly party: number }
  | { readonly do: 'wait'; readonly who: number; readonly timed: boolean }
  | { readonly do: 'cancel'; readonly nth: number }
  | End
  | { readonly do: 'pass' | 'reset' };

class LatchSystem extends Calls<void> {
  readonly name: string = etcd.name();
  readonly latches: readonly Latch[];
  readonly stage: Stage;

  constructor(stage: Stage) {
    super();
    this.stage = stage;
    this.latches = stage.processes.map((each) => each.latch(this.name, 3));
  }

  async run(step: LatchStep, expected: unknown): Promise<void> {
    const latch = this.latches['who' in step ? step.who : 0] as Latch;
    if (step.do === 'count down') expect(await latch.countDown(`${step.party}`)).toBe(expected);
    else if (step.do === 'wait')
      this.add(expected as number, step.timed, (wait) => latch.wait(wait));
    else if (step.do === 'cancel') this.get(expected as number).abort();
    else if (step.do === 'end') await this.stage.end(step.who, step.how);
    else if (step.do === 'pass') await this.stage.pass();
    else await latch.reset();
  }
}

it('a latch does as a model of one thread does, in any order of steps', {
  timeout: 120_000,
}, async () => {
  const open = (model: LatchModel): void => {
    if (model.parties.length >= 3) endAll(model, () => ({ passed: undefined }));
  };
  const apply = (model: LatchModel, step: LatchStep): unknown => {
    switch (step.do) {
      case 'count down':
        if (!model.parties.includes(step.party)) model.parties.push(step.party);
        open(model);
        return Math.max(0, 3 - model.parties.length);
      case 'wait': {
        const id = come(model, step.who, step.timed);
        open(model);
        return id;
      }
      case 'cancel':
        return cancel(model, step.nth);
      case 'reset':
        model.parties = [];
        return undefined;
      case 'end':
        if (step.how === 'expire') timeOut(model);
        return undefined;
      default:
        return timeOut(model);
    }
  };
  await play<LatchStep, LatchModel, LatchSystem>(
    etcd,
    { processes, runs: 500 },
    {
      step: fc.oneof(
        {
          weight: 5,
          arbitrary: fc.record({ do: fc.constant('count down' as const), who, party: fc.nat(4) }),
        },
        { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), who, timed }) },
        { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), nth }) },
        { weight: 1, arbitrary: end },
        { weight: 1, arbitrary: pass },
        { weight: 1, arbitrary: fc.constant({ do: 'reset' as const }) },
      ),
      model: () => ({ ...noWaits(), parties: [] }),
      system: (stage) => new LatchSystem(stage),
      can: canWait,
      apply,
      run: (system, step, _, expected) => system.run(step, expected),
      async check(system, model) {
        system.check(model);
        const { parties } = await (system.latches[0] as Latch).inspect();
        expect(parties.map(Number)).toEqual(model.parties);
      },
      async finish(system, { waiting }) {
        for (const { id } of waiting) system.get(id).abort();
        await (system.latches[0] as Latch).reset();
      },
      leftovers: ({ name }) => prefixRange(folderOf('latch', name)),
    },
  );
});

/** The keys of those who wait for a round, in the order of their arrival. */
async function partiesOf(
  { admin }: Stage,
  folder: string,
  inside: readonly string[] = [],
): Promise<string[]> {
  const { kvs } = await admin.read(prefixRange(folder));
  return kvs
    .filter(({ lease, key }) => lease > 0n && !inside.includes(key.toString()))
    .toSorted((a, b) => Number(a.createRevision - b.createRevision))
    .map(({ key }) => key.toString());
}

interface CyclicModel extends Waits {
  /** The round that is open. */
  generation: number;
}

type CyclicStep =
  | { readonly do: 'wait'; readonly who: number; readonly timed: boolean }
  | { readonly do: 'cancel' | 'delete'; readonly nth: number }
  | End
  | { readonly do: 'pass' };

class CyclicSystem extends Calls<Passage> {
  readonly name: string = etcd.name();
  readonly folder: string = folderOf('cyclic-barrier', this.name);
  readonly barriers: readonly CyclicBarrier[];
  readonly stage: Stage;

  constructor(stage: Stage, count: number) {
    super();
    this.stage = stage;
    this.barriers = stage.processes.map((each) => each.cyclicBarrier(this.name, count));
  }
}

it.each([2, 3])(
  'a cyclic barrier of %i does as a model of one thread does, in any order of steps',
  { timeout: 120_000 },
  async (count) => {
    /** Some leave, which the others learn. */
    const breakBy = (
      model: CyclicModel,
      leaving: readonly Wait[],
      reason: 'aborted' | 'timeout' | 'lost',
    ): void => {
      const [first] = leaving;
      if (!first) return;
      const { generation } = model;
      endAll(model, (wait) =>
        leaving.includes(wait) ? reason : { broken: { generation, reason, by: first.who } },
      );
      model.generation += 1;
    };
    const apply = (model: CyclicModel, step: CyclicStep): unknown => {
      switch (step.do) {
        case 'wait': {
          const id = come(model, step.who, step.timed);
          if (model.waiting.length < count) return id;
          const { generation } = model;
          endAll(model, (_, index) => ({ passed: { generation, index } }));
          model.generation += 1;
          return id;
        }
        case 'cancel':
        case 'delete': {
          const at = step.nth % model.waiting.length;
          const wait = model.waiting[at] as Wait;
          breakBy(model, [wait], step.do === 'cancel' ? 'aborted' : 'lost');
          return step.do === 'cancel' ? wait.id : at;
        }
        case 'end': {
          const dead = model.waiting.filter((wait) => wait.who === step.who);
          breakBy(model, dead, 'lost');
          break;
        }
        default:
      }
      if (step.do === 'pass' || step.how === 'expire') {
        breakBy(model, model.waiting.filter((wait) => wait.timed).slice(0, 1), 'timeout');
      }
      return undefined;
    };
    await play<CyclicStep, CyclicModel, CyclicSystem>(
      etcd,
      { processes, runs: 500 },
      {
        step: fc.oneof(
          { weight: 8, arbitrary: fc.record({ do: fc.constant('wait' as const), who, timed }) },
          {
            weight: 2,
            arbitrary: fc.record({
              do: fc.constantFrom('cancel' as const, 'delete' as const),
              nth,
            }),
          },
          { weight: 1, arbitrary: end },
          { weight: 1, arbitrary: pass },
        ),
        model: () => ({ ...noWaits(), generation: 1 }),
        system: (stage) => new CyclicSystem(stage, count),
        can: canWait,
        apply,
        async run(system, step, _, expected) {
          if (step.do === 'wait') {
            const barrier = system.barriers[step.who] as CyclicBarrier;
            system.add(expected as number, step.timed, (wait) => barrier.wait(wait));
          } else if (step.do === 'cancel') system.get(expected as number).abort();
          else if (step.do === 'delete') {
            const key = (await partiesOf(system.stage, system.folder))[
              expected as number
            ] as string;
            await system.stage.admin.commit({ success: [{ delete: { key } }] });
          } else if (step.do === 'end') await system.stage.end(step.who, step.how);
          else await system.stage.pass();
        },
        async check(system, model) {
          system.check(model);
          const { generation, waiting } = await (system.barriers[0] as CyclicBarrier).inspect();
          expect(waiting.map(({ owner }) => Number(owner?.label))).toEqual(
            model.waiting.map((each) => each.who),
          );
          // Where the last died, the next who comes finds it out.
          expect(waiting.length > 0 ? generation : model.generation).toBe(model.generation);
        },
        finish(system, { waiting }) {
          for (const { id } of waiting) system.get(id).abort();
          return Promise.resolve();
        },
        leftovers: ({ folder }) => prefixRange(folder),
      },
    );
  },
);

/** Who uses a double barrier: as many as there are objects, and more than begin together. */
const parties = 5;

type Where =
  | { at: 'out' | 'lost' }
  | { at: 'entering'; timed: boolean }
  | { at: 'in' | 'leaving' | 'left'; round: Set<number> };

interface DoubleModel {
  readonly where: Where[];
  /** Who waits to begin, in the order in which they came. */
  entering: number[];
  /** How the last enter of a party is to have ended. */
  readonly ended: Map<number, 'entered' | 'aborted' | 'timeout' | 'lost'>;
  /** The same for leaving. */
  readonly left: Map<number, 'left' | 'aborted' | 'lost'>;
}

type DoubleStep =
  | { readonly do: 'enter'; readonly nth: number; readonly timed: boolean }
  | { readonly do: 'cancel' | 'delete' | 'leave' | 'cancel leaving'; readonly nth: number }
  | End
  | { readonly do: 'pass' };

const fits: Partial<Record<DoubleStep['do'], readonly Where['at'][]>> = {
  enter: ['out', 'lost'],
  cancel: ['entering'],
  delete: ['entering', 'in'],
  leave: ['in', 'lost', 'left'],
  'cancel leaving': ['leaving'],
};

function partyOf(
  { where }: DoubleModel,
  step: { do: DoubleStep['do']; nth: number },
): number | undefined {
  return pick(
    where.flatMap(({ at }, i) => (fits[step.do]?.includes(at) ? [i] : [])),
    step.nth,
  );
}

/** A party is inside no more. */
function goOut(model: DoubleModel, party: number, round: Set<number>): void {
  round.delete(party);
  if (round.size > 0) return;
  for (const [i, each] of model.where.entries()) {
    if (each.at !== 'leaving' || each.round !== round) continue;
    model.where[i] = { at: 'out' };
    model.left.set(i, 'left');
  }
}

function notIn(model: DoubleModel, party: number, why: 'aborted' | 'timeout' | 'lost'): void {
  model.where[party] = { at: 'out' };
  model.entering = model.entering.filter((each) => each !== party);
  model.ended.set(party, why);
}

function lose(model: DoubleModel, party: number): void {
  const now = model.where[party] as Where;
  if (now.at === 'entering') notIn(model, party, 'lost');
  if (now.at !== 'in') return;
  model.where[party] = { at: 'lost' };
  goOut(model, party, now.round);
}

class DoubleSystem {
  readonly name: string = etcd.name();
  readonly folder: string = folderOf('double-barrier', this.name);
  readonly objects: readonly DoubleBarrier[];
  readonly stage: Stage;
  readonly enters = new Map<number, Call<Hold>>();
  readonly leaves = new Map<number, Call<void>>();

  constructor(stage: Stage, count: number) {
    this.stage = stage;
    this.objects = Array.from({ length: parties }, (_, i) =>
      stage.processes.at(i % processes)?.doubleBarrier(this.name, count),
    ) as DoubleBarrier[];
  }

  leave(party: number): void {
    this.leaves.set(party, new Call((wait) => (this.objects[party] as DoubleBarrier).leave(wait)));
  }

  async check(model: DoubleModel): Promise<void> {
    const { waiting, inside } = await (this.objects[0] as DoubleBarrier).inspect();
    expect(waiting.map(({ owner }) => Number(owner?.label))).toEqual(
      model.entering.map((party) => party % processes),
    );
    const rounds = new Set(model.where.flatMap((each) => ('round' in each ? [each.round] : [])));
    expect(inside.length).toBe([...rounds].reduce((sum, { size }) => sum + size, 0));
    for (const [party, each] of model.where.entries()) {
      const [enter, leave] = [this.enters.get(party), this.leaves.get(party)];
      if (each.at === 'entering') expect([party, enter?.state]).toEqual([party, 'waiting']);
      if (each.at === 'leaving') expect([party, leave?.state]).toEqual([party, 'waiting']);
      if (each.at === 'in') expect([party, enter?.value?.lost]).toEqual([party, undefined]);
      if (each.at === 'lost') expect([party, enter?.value?.signal.aborted]).toEqual([party, true]);
    }
    for (const [party, why] of model.ended) {
      expect([party, said(this.enters.get(party), 'entered')]).toEqual([party, why]);
    }
    for (const [party, why] of model.left) {
      expect([party, said(this.leaves.get(party), 'left')]).toEqual([party, why]);
    }
    model.ended.clear();
    model.left.clear();
  }
}

it.each([2, 3])(
  'a double barrier of %i does as a model of one thread does, in any order of steps',
  { timeout: 120_000 },
  async (count) => {
    const timeOutEach = (model: DoubleModel): void => {
      for (const party of model.entering) {
        const now = model.where[party] as Where;
        if (now.at === 'entering' && now.timed) notIn(model, party, 'timeout');
      }
    };
    const apply = (model: DoubleModel, step: DoubleStep): unknown => {
      const party = 'nth' in step ? (partyOf(model, step) as number) : 0;
      const now = model.where[party] as Where;
      switch (step.do) {
        case 'enter': {
          model.where[party] = { at: 'entering', timed: step.timed };
          model.entering.push(party);
          if (model.entering.length < count) break;
          const round = new Set(model.entering);
          for (const each of round) {
            model.where[each] = { at: 'in', round };
            model.ended.set(each, 'entered');
          }
          model.entering = [];
          break;
        }
        case 'cancel':
          notIn(model, party, 'aborted');
          break;
        case 'delete': {
          const place = model.entering.indexOf(party);
          lose(model, party);
          return { party, place };
        }
        case 'leave':
          if ('round' in now) {
            model.where[party] = { at: 'leaving', round: now.round };
            goOut(model, party, now.round);
          } else {
            model.where[party] = { at: 'out' };
            model.left.set(party, 'lost');
          }
          break;
        case 'cancel leaving':
          model.where[party] = { at: 'left', round: (now as { round: Set<number> }).round };
          model.left.set(party, 'aborted');
          break;
        case 'end':
          for (let i = step.who; i < parties; i += processes) lose(model, i);
          if (step.how === 'expire') timeOutEach(model);
          break;
        default:
          timeOutEach(model);
      }
      return { party, place: -1 };
    };
    await play<DoubleStep, DoubleModel, DoubleSystem>(
      etcd,
      { processes, runs: 500 },
      {
        step: fc.oneof(
          { weight: 8, arbitrary: fc.record({ do: fc.constant('enter' as const), nth, timed }) },
          { weight: 5, arbitrary: fc.record({ do: fc.constant('leave' as const), nth }) },
          {
            weight: 4,
            arbitrary: fc.record({
              do: fc.constantFrom('cancel' as const, 'delete' as const, 'cancel leaving' as const),
              nth,
            }),
          },
          { weight: 1, arbitrary: end },
          { weight: 1, arbitrary: pass },
        ),
        model: () => ({
          where: Array.from({ length: parties }, () => ({ at: 'out' as const })),
          entering: [],
          ended: new Map(),
          left: new Map(),
        }),
        system: (stage) => new DoubleSystem(stage, count),
        can(model, step, { hasTime }) {
          if (step.do === 'pass' || ('timed' in step && step.timed)) if (!hasTime) return false;
          return !('nth' in step) || partyOf(model, step) !== undefined;
        },
        apply,
        async run(system, step, _, expected) {
          const { party, place } = expected as { party: number; place: number };
          const object = system.objects[party] as DoubleBarrier;
          if (step.do === 'enter') {
            const options = { ...(step.timed && { timeout: limit }) };
            system.enters.set(party, new Call((wait) => object.enter({ ...wait, ...options })));
          } else if (step.do === 'leave') system.leave(party);
          else if (step.do === 'cancel') system.enters.get(party)?.abort();
          else if (step.do === 'cancel leaving') system.leaves.get(party)?.abort();
          else if (step.do === 'delete') {
            const inside = [...system.enters.values()].flatMap(({ value }) => value?.key ?? []);
            const all = await partiesOf(system.stage, system.folder, inside);
            const key = place < 0 ? system.enters.get(party)?.value?.key : all[place];
            await system.stage.admin.commit({ success: [{ delete: { key: key as string } }] });
          } else if (step.do === 'end') await system.stage.end(step.who, step.how);
          else await system.stage.pass();
        },
        check: (system, model) => system.check(model),
        finish(system, { where }) {
          for (const [party, { at }] of where.entries()) {
            if (at === 'entering') system.enters.get(party)?.abort();
            if (at === 'in') system.leave(party);
          }
          return Promise.resolve();
        },
        leftovers: ({ folder }) => prefixRange(folder),
      },
    );
  },
);

/** How a call ended, in a word. */
function said(call: Call<unknown> | undefined, done: string): unknown {
  if (call?.state !== 'failed') return call?.state === 'done' ? done : call?.state;
  const { error } = call;
  if (error === enough) return 'aborted';
  if (error instanceof WaitTimeoutError) return 'timeout';
  return isLoss(error) ? 'lost' : error;
}
