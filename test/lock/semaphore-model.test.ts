import fc from 'fast-check';
import { expect, it } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import { type Hold, type Semaphore } from '../../src/index.js';
import { Call, checkCalls } from '../support/call.js';
import { useEtcd } from '../support/etcd.js';
import { limit as longEnough, play, type Stage } from '../support/stage.js';

const etcd = useEtcd();
const processes = 3;
const [first, most] = [3, 5];

/** Somebody in the line, in the order in which they came. */
interface Place {
  readonly id: number;
  readonly who: number;
  readonly permits: number;
  isIn: boolean;
  /** Whether its wait has a limit. */
  readonly timed: boolean;
}

/** How somebody came to be in it no more. */
type Why = 'aborted' | 'timeout' | 'lost' | 'released' | 'turned away';

interface Model {
  ids: number;
  limit: number;
  line: Place[];
  /** What became of those who are in it no more since the last look. */
  readonly gone: Map<number, Why>;
}

type Act = 'cancel' | 'release' | 'delete';
type Wanted = { readonly who: number; readonly permits: number };
type Step =
  | ({ readonly do: 'enter'; readonly timed: boolean } & Wanted)
  | ({ readonly do: 'try' } & Wanted)
  | { readonly do: Act; readonly nth: number }
  | { readonly do: 'resize'; readonly who: number; readonly limit: number }
  | { readonly do: 'end'; readonly who: number; readonly how: 'expire' | 'revoke' }
  | { readonly do: 'pass' };

const constant = <T extends string>(value: T): fc.Arbitrary<T> => fc.constant(value);
const who = fc.nat(processes - 1);
const permits = fc.integer({ min: 1, max: most });
const timed = fc.integer({ min: 0, max: 3 }).map((n) => n === 0);
const act = fc.constantFrom<Act[]>('release', 'release', 'cancel', 'delete');
const how = fc.constantFrom('expire' as const, 'revoke' as const);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: constant('enter'), who, permits, timed }) },
  { weight: 2, arbitrary: fc.record({ do: constant('try'), who, permits }) },
  { weight: 8, arbitrary: fc.record({ do: act, nth: fc.nat(11) }) },
  { weight: 3, arbitrary: fc.record({ do: constant('resize'), who, limit: permits }) },
  { weight: 1, arbitrary: fc.record({ do: constant('end'), who, how }) },
  { weight: 1, arbitrary: fc.record({ do: constant('pass') }) },
);

/** Whom a step is about: the nth of those of whom it can be. */
function target({ line }: Model, what: Act, n: number): Place | undefined {
  const all = line.filter(({ isIn }) => what === 'delete' || isIn === (what === 'release'));
  return all[n % all.length];
}

function leave(model: Model, place: Place, why: Why): void {
  model.line = model.line.filter((other) => other !== place);
  model.gone.set(place.id, why);
}

/** Turns away whoever wants more than there is, and lets in whoever has room behind all who came before. */
function admit(model: Model): void {
  for (const place of model.line.filter((each) => !each.isIn && each.permits > model.limit)) {
    leave(model, place, 'turned away');
  }
  let taken = 0;
  for (const place of model.line) {
    taken += place.permits;
    place.isIn ||= taken <= model.limit;
  }
}

/** Ends the waits that have a limit, in the order in which they began: one that ends may let others in before their own time. */
function pass(model: Model): void {
  for (let id = 0; id < model.ids; id += 1) {
    const place = model.line.find((each) => each.id === id && !each.isIn && each.timed);
    if (place) leave(model, place, 'timeout');
    admit(model);
  }
}

function can(model: Model, each: Step, stage: Stage): boolean {
  switch (each.do) {
    case 'pass':
      return stage.hasTime;
    case 'enter':
      if (model.line.length >= 9 || (each.timed && !stage.hasTime)) return false;
      return each.permits <= model.limit;
    case 'try':
      return each.permits <= model.limit;
    case 'resize':
      return each.limit !== model.limit;
    case 'end':
      return true;
    default:
      return target(model, each.do, each.nth) !== undefined;
  }
}

const ends = { cancel: 'aborted', release: 'released', delete: 'lost' } as const;

/** Gives the ID of who came, or on whom it was done. */
function apply(model: Model, each: Step): number | undefined {
  let id: number | undefined;
  switch (each.do) {
    case 'enter':
    case 'try': {
      id = model.ids;
      model.ids += 1;
      const isTimed = each.do === 'enter' && each.timed;
      model.line.push({ id, who: each.who, permits: each.permits, isIn: false, timed: isTimed });
      admit(model);
      if (each.do === 'try' && !model.line.at(-1)?.isIn) model.line.pop();
      break;
    }
    case 'resize':
      model.limit = each.limit;
      break;
    case 'end':
      for (const place of model.line.filter((other) => other.who === each.who)) {
        leave(model, place, 'lost');
      }
      if (each.how === 'expire') {
        admit(model);
        pass(model);
      }
      break;
    case 'pass':
      pass(model);
      break;
    default: {
      const place = target(model, each.do, each.nth) as Place;
      id = place.id;
      leave(model, place, ends[each.do]);
    }
  }
  admit(model);
  return id;
}

/** The same steps on a semaphore. */
class System {
  readonly name: string = etcd.name();
  readonly stage: Stage;
  readonly #calls = new Map<number, Call<Hold>>();
  /** The keys of all who are in the line. */
  #keys = new Map<number, string>();
  readonly #semaphores: readonly Semaphore[];
  #ready: Promise<unknown> | undefined;

  constructor(stage: Stage) {
    this.stage = stage;
    this.#semaphores = stage.processes.map((each) => each.semaphore(this.name));
  }

  async run(each: Step, id: number): Promise<void> {
    this.#ready ??= this.#of(0).resize(first);
    await this.#ready;
    switch (each.do) {
      case 'enter': {
        const options = { permits: each.permits, ...(each.timed && { timeout: longEnough }) };
        const call = new Call((wait) => this.#of(each.who).acquire({ ...wait, ...options }));
        this.#calls.set(id, call);
        break;
      }
      case 'try': {
        const hold = await this.#of(each.who).tryAcquire({ permits: each.permits });
        if (hold) this.#calls.set(id, new Call(() => Promise.resolve(hold)));
        break;
      }
      case 'cancel':
        this.#calls.get(id)?.abort();
        break;
      case 'release':
        expect(await this.#calls.get(id)?.value?.release()).toBe(true);
        break;
      case 'delete': {
        const key = this.#calls.get(id)?.value?.key ?? this.#keys.get(id) ?? '';
        await this.stage.admin.commit({ success: [{ delete: { key } }] });
        break;
      }
      case 'resize':
        await this.#of(each.who).resize(each.limit);
        break;
      case 'end':
        await this.stage.end(each.who, each.how);
        break;
      default:
        await this.stage.pass();
    }
  }

  async check(model: Model): Promise<void> {
    const { holders, waiters } = await this.#of(0).inspect();
    const entries = [...holders, ...waiters].toSorted((a, b) => Number(a.token - b.token));
    expect(entries.map((each) => each.permits)).toEqual(model.line.map((each) => each.permits));
    this.#keys = new Map(model.line.map(({ id }, i) => [id, entries[i]?.key as string]));
    const claims = model.line.map(({ id, isIn }) => [id, isIn] as const);
    checkCalls(this.#calls, claims, model.gone);
  }

  async finish(model: Model): Promise<void> {
    for (const { id, isIn } of model.line.toReversed()) {
      if (isIn) await this.#calls.get(id)?.value?.release();
      else this.#calls.get(id)?.abort();
    }
  }

  #of(i: number): Semaphore {
    return this.#semaphores[i] as Semaphore;
  }
}

it('a semaphore does as a model of one thread does, in any order of steps', {
  timeout: 120_000,
}, async () => {
  await play<Step, Model, System>(
    etcd,
    { processes, runs: 1_500 },
    {
      step,
      model: () => ({ ids: 0, limit: first, line: [], gone: new Map() }),
      system: (stage) => new System(stage),
      can,
      apply,
      run: (system, each, _, id) => system.run(each, id as number),
      check: (system, model) => system.check(model),
      finish: (system, model) => system.finish(model),
      leftovers: ({ name }) => prefixRange(folderOf('semaphore', name)),
    },
  );
});
