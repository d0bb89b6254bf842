import fc from 'fast-check';
import { expect, it } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import { type Hold, type LockMode, type ReadWriteLock } from '../../src/index.js';
import { Call, checkCalls } from '../support/call.js';
import { useEtcd } from '../support/etcd.js';
import { limit, play, type Stage } from '../support/stage.js';

const etcd = useEtcd();
const processes = 3;

/** Somebody in the line, in the order in which they came. */
interface Place {
  readonly id: number;
  readonly who: number;
  mode: LockMode;
  isIn: boolean;
  /** Whether its wait has a limit. */
  readonly timed: boolean;
  upgrade: { readonly id: number; isIn: boolean; readonly timed: boolean } | undefined;
}

/** How somebody came to be in it no more. */
type Why = 'aborted' | 'timeout' | 'lost' | 'released';

interface Model {
  ids: number;
  line: Place[];
  /** What became of those who are in it no more since the last look. */
  readonly gone: Map<number, Why>;
}

type Act = 'cancel' | 'release' | 'delete';
type Step =
  | { readonly do: 'enter'; readonly who: number; readonly mode: LockMode; readonly timed: boolean }
  | { readonly do: 'try'; readonly who: number; readonly mode: LockMode }
  | { readonly do: Act | `${Act} upgrade` | 'downgrade'; readonly nth: number }
  | { readonly do: 'upgrade'; readonly nth: number; readonly timed: boolean }
  | { readonly do: 'end'; readonly who: number; readonly how: 'expire' | 'revoke' }
  | { readonly do: 'pass' };

const who = fc.nat(processes - 1);
const mode = fc.constantFrom<LockMode[]>('read', 'read', 'upgradeable', 'write');
const nth = fc.nat(11);
const timed = fc.integer({ min: 0, max: 3 }).map((n) => n === 0);
const on = <Do extends string>(...acts: Do[]): fc.Arbitrary<{ do: Do; nth: number }> =>
  fc.record({ do: fc.constantFrom(...acts), nth });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('enter' as const), who, mode, timed }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('try' as const), who, mode }) },
  { weight: 6, arbitrary: on('release') },
  { weight: 4, arbitrary: on('cancel', 'delete', 'downgrade', 'downgrade') },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('upgrade' as const), nth, timed }) },
  { weight: 3, arbitrary: on('cancel upgrade', 'release upgrade', 'delete upgrade') },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('end' as const),
      who,
      how: fc.constantFrom('expire' as const, 'revoke' as const),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'pass' as const }) },
);

/** Whom a step is about: the nth of those of whom it can be. */
function target(model: Model, what: Step['do'], n: number): Place | undefined {
  const fits: Partial<Record<Step['do'], (place: Place) => boolean>> = {
    cancel: ({ isIn }) => !isIn,
    release: ({ isIn }) => isIn,
    downgrade: ({ isIn, mode: each }) => isIn && each === 'write',
    upgrade: ({ isIn, mode: each, upgrade }) => isIn && each === 'upgradeable' && !upgrade,
    'cancel upgrade': ({ upgrade }) => upgrade?.isIn === false,
    'release upgrade': ({ upgrade }) => upgrade?.isIn === true,
    'delete upgrade': ({ upgrade }) => upgrade?.isIn === true,
  };
  const all = model.line.filter(fits[what] ?? (() => true));
  return all[n % all.length];
}

const isAlone = (a: LockMode, b: LockMode): boolean =>
  a === 'write' || b === 'write' || (a === 'upgradeable' && b === 'upgradeable');

/** Lets in whoever has to wait for nobody. */
function admit({ line }: Model): void {
  const upgrade = line.find((place) => place.upgrade)?.upgrade;
  for (const [i, place] of line.entries()) {
    const isBarred = place.mode === 'read' && upgrade !== undefined;
    place.isIn ||= !isBarred && !line.slice(0, i).some((other) => isAlone(other.mode, place.mode));
  }
  if (upgrade) upgrade.isIn ||= !line.some((place) => place.isIn && place.mode === 'read');
}

/** What becomes of a place, and of what was upgraded from it. */
function leave(model: Model, place: Place, why: Why): void {
  model.line = model.line.filter((other) => other !== place);
  model.gone.set(place.id, why);
  // Whatever ends it takes the upgrade along.
  endUpgrade(model, place, 'lost');
}

function endUpgrade(model: Model, place: Place, why: Why): void {
  if (place.upgrade) model.gone.set(place.upgrade.id, why);
  place.upgrade = undefined;
}

/** Ends the waits that have a limit, in the order in which they began: one that ends may let others in before their own time. */
function pass(model: Model): void {
  for (let id = 0; id < model.ids; id += 1) {
    const waits = (wait?: { id: number; isIn: boolean; timed: boolean }): boolean =>
      wait?.id === id && !wait.isIn && wait.timed;
    const place = model.line.find((each) => waits(each) || waits(each.upgrade));
    if (place && waits(place)) leave(model, place, 'timeout');
    else if (place) endUpgrade(model, place, 'timeout');
    admit(model);
  }
}

function can(model: Model, each: Step, stage: Stage): boolean {
  if (each.do === 'pass') return stage.hasTime;
  if (each.do === 'enter') return model.line.length < 9 && (stage.hasTime || !each.timed);
  if (each.do === 'upgrade' && each.timed && !stage.hasTime) return false;
  return !('nth' in each) || target(model, each.do, each.nth) !== undefined;
}

/** Gives the ID of who came, or on whom it was done. */
function apply(model: Model, each: Step): number | undefined {
  const at = 'nth' in each ? target(model, each.do, each.nth) : undefined;
  let id = at?.id;
  switch (each.do) {
    case 'enter':
    case 'try': {
      const place: Place = {
        id: model.ids,
        who: each.who,
        mode: each.mode,
        isIn: false,
        timed: each.do === 'enter' && each.timed,
        upgrade: undefined,
      };
      id = model.ids;
      model.ids += 1;
      model.line.push(place);
      admit(model);
      if (each.do === 'try' && !place.isIn) model.line.pop();
      break;
    }
    case 'cancel':
      leave(model, at as Place, 'aborted');
      break;
    case 'release':
      leave(model, at as Place, 'released');
      break;
    case 'delete':
      leave(model, at as Place, 'lost');
      break;
    case 'downgrade':
      (at as Place).mode = 'read';
      break;
    case 'upgrade':
      (at as Place).upgrade = { id: model.ids, isIn: false, timed: each.timed };
      model.ids += 1;
      break;
    case 'cancel upgrade':
    case 'release upgrade':
    case 'delete upgrade':
      id = at?.upgrade?.id;
      endUpgrade(
        model,
        at as Place,
        each.do === 'cancel upgrade'
          ? 'aborted'
          : each.do === 'delete upgrade'
            ? 'lost'
            : 'released',
      );
      break;
    case 'end':
      for (const place of model.line.filter((other) => other.who === each.who))
        leave(model, place, 'lost');
      if (each.how === 'expire') {
        admit(model);
        pass(model);
      }
      break;
    default:
      pass(model);
  }
  admit(model);
  return id;
}

/** The same steps on a lock. */
class System {
  readonly name: string = etcd.name();
  readonly stage: Stage;
  readonly #calls = new Map<number, Call<Hold>>();
  /** The keys of all who are in the line. */
  #keys = new Map<number, string>();
  readonly #locks: readonly ReadWriteLock[];

  constructor(stage: Stage) {
    this.stage = stage;
    this.#locks = stage.processes.map((each) => each.readWriteLock(this.name));
  }

  async run(each: Step, model: Model, id: number): Promise<void> {
    switch (each.do) {
      case 'enter':
        this.#ask(id, (wait) => this.#lock(each.who)[each.mode].acquire(wait), each.timed);
        break;
      case 'try': {
        const hold = await this.#lock(each.who)[each.mode].tryAcquire();
        if (hold) this.#calls.set(id, new Call(() => Promise.resolve(hold)));
        break;
      }
      case 'cancel':
      case 'cancel upgrade':
        this.#calls.get(id)?.abort();
        break;
      case 'release':
      case 'release upgrade':
        expect(await this.#calls.get(id)?.value?.release()).toBe(true);
        break;
      case 'delete':
      case 'delete upgrade':
        await this.#remove(id);
        break;
      case 'downgrade': {
        const { who: by } = model.line.find((place) => place.id === id) as Place;
        await this.#lock(by).downgrade(this.#calls.get(id)?.value as Hold);
        break;
      }
      case 'upgrade': {
        const { who: by, upgrade } = model.line.find((place) => place.id === id) as Place;
        const hold = this.#calls.get(id)?.value as Hold;
        this.#ask(upgrade?.id as number, (wait) => this.#lock(by).upgrade(hold, wait), each.timed);
        break;
      }
      case 'end':
        await this.stage.end(each.who, each.how);
        break;
      default:
        await this.stage.pass();
    }
  }

  async check(model: Model): Promise<void> {
    const { holders, waiters } = await this.#lock(0).inspect();
    const entries = [...holders, ...waiters].toSorted((a, b) => Number(a.token - b.token));
    expect(entries.map((each) => each.mode)).toEqual(model.line.map((each) => each.mode));
    this.#keys = new Map(model.line.map(({ id }, i) => [id, entries[i]?.key as string]));
    const claims: [number, boolean][] = [];
    for (const { id, isIn, upgrade } of model.line) {
      claims.push([id, isIn]);
      if (upgrade) claims.push([upgrade.id, upgrade.isIn]);
    }
    checkCalls(this.#calls, claims, model.gone);
  }

  async finish(model: Model): Promise<void> {
    for (const { id, isIn, upgrade } of model.line.toReversed()) {
      if (upgrade && !upgrade.isIn) this.#calls.get(upgrade.id)?.abort();
      if (isIn) await this.#calls.get(id)?.value?.release();
      else this.#calls.get(id)?.abort();
    }
  }

  #ask(id: number, acquire: (wait: object) => Promise<Hold>, isTimed: boolean): void {
    const call = new Call((wait) => acquire({ ...wait, ...(isTimed && { timeout: limit }) }));
    this.#calls.set(id, call);
  }

  async #remove(id: number): Promise<void> {
    const key = this.#calls.get(id)?.value?.key ?? this.#keys.get(id) ?? '';
    await this.stage.admin.commit({ success: [{ delete: { key } }] });
  }

  #lock(i: number): ReadWriteLock {
    return this.#locks[i] as ReadWriteLock;
  }
}

it('a read/write lock does as a model of one thread does, in any order of steps', {
  timeout: 120_000,
}, async () => {
  await play<Step, Model, System>(
    etcd,
    { processes, runs: 1_500 },
    {
      step,
      model: () => ({ ids: 0, line: [], gone: new Map() }),
      system: (stage) => new System(stage),
      can,
      apply,
      run: (system, each, model, id) => system.run(each, model, id as number),
      check: (system, model) => system.check(model),
      finish: (system, model) => system.finish(model),
      leftovers: ({ name }) => prefixRange(folderOf('read-write-lock', name)),
    },
  );
});
