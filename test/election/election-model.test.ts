import fc from 'fast-check';
import { expect, it } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import type { Coordinator, Term } from '../../src/index.js';
import { Call } from '../support/call.js';
import { useEtcd } from '../support/etcd.js';
import { play, type Stage } from '../support/stage.js';

const etcd = useEtcd();
/** The processes, each of which stands once at a time. */
const candidates = 4;

/** Who stands or leads, in the order in which they came. */
interface Model {
  standing: { readonly who: number; readonly priority: number }[];
  leader: number | undefined;
  /** Who led before. */
  former: number | undefined;
}

type Step =
  | { readonly do: 'campaign'; readonly who: number; readonly priority: number }
  | { readonly do: 'transfer' | 'give up'; readonly who: number }
  | { readonly do: 'end'; readonly who: number; readonly how: 'expire' | 'revoke' }
  | { readonly do: 'resign' | 'delete' };

const who = fc.nat(candidates - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('campaign' as const), who, priority: fc.nat(2) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('transfer' as const, 'give up' as const), who }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('end' as const),
      who,
      how: fc.constantFrom('expire' as const, 'revoke' as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('resign' as const, 'delete' as const) }),
  },
);

const stands = ({ standing }: Model, each: number): boolean =>
  standing.some((other) => other.who === each);

/** Those who do not lead, in the order in which they would. */
function ranked({ standing, leader }: Model): number[] {
  return standing
    .filter((each) => each.who !== leader)
    .toSorted((a, b) => b.priority - a.priority)
    .map((each) => each.who);
}

function leave(model: Model, gone: number | undefined, heir?: number): void {
  model.standing = model.standing.filter((each) => each.who !== gone);
  if (model.leader === gone) model.leader = heir;
  model.leader ??= ranked(model)[0];
}

function can(model: Model, each: Step): boolean {
  switch (each.do) {
    case 'campaign':
      return !stands(model, each.who);
    case 'give up':
      return stands(model, each.who) && model.leader !== each.who;
    case 'end':
      return stands(model, each.who);
    default:
      return model.leader !== undefined;
  }
}

function apply(model: Model, each: Step): void {
  model.former = model.leader;
  switch (each.do) {
    case 'campaign':
      model.standing.push({ who: each.who, priority: each.priority });
      model.leader ??= each.who;
      break;
    case 'transfer':
      if (each.who !== model.leader && stands(model, each.who))
        leave(model, model.leader, each.who);
      break;
    case 'give up':
    case 'end':
      leave(model, each.who);
      break;
    default:
      leave(model, model.leader);
  }
}

/** The same steps on an election. */
class System {
  readonly name: string = etcd.name();
  readonly #stage: Stage;
  readonly #campaigns = new Map<number, Call<Term>>();
  readonly #tokens: bigint[] = [];

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async run(each: Step, former: number | undefined): Promise<void> {
    const term = former === undefined ? undefined : this.#campaigns.get(former)?.value;
    switch (each.do) {
      case 'campaign':
        this.#campaign(each.who, each.priority);
        break;
      case 'transfer':
        await term?.transferTo(`${each.who}`);
        break;
      case 'give up':
        this.#campaigns.get(each.who)?.abort();
        break;
      case 'end':
        await this.#stage.end(each.who, each.how);
        break;
      case 'resign':
        expect(await term?.resign()).toBe(true);
        break;
      default:
        await this.#stage.admin.commit({ success: [{ delete: { key: term?.key as string } }] });
    }
  }

  async check(model: Model): Promise<void> {
    const { leader, candidates: others } = await this.#at(0).election(this.name).inspect();
    expect(leader && Number(leader.id)).toBe(model.leader);
    expect(others.map(({ id }) => Number(id))).toEqual(ranked(model));
    const leading = [...this.#campaigns].filter(([, { value }]) => value && value.remaining() > 0);
    expect(leading.map(([each, { value }]) => [each, value?.token])).toEqual(
      model.leader === undefined ? [] : [[model.leader, leader?.token]],
    );
    expect(this.#tokens).toEqual(this.#tokens.toSorted((a, b) => Number(a - b)));
  }

  /** Everybody leaves, the leader last. */
  async finish(model: Model): Promise<void> {
    for (const each of ranked(model)) this.#campaigns.get(each)?.abort();
    if (model.leader !== undefined) await this.#campaigns.get(model.leader)?.value?.resign();
  }

  #campaign(each: number, priority: number): void {
    const election = this.#at(each).election(this.name, { id: `${each}`, priority });
    const campaign = new Call(async (wait) => {
      const term = await election.campaign(`${each}`, wait);
      this.#tokens.push(term.token);
      return term;
    });
    this.#campaigns.set(each, campaign);
  }

  #at(each: number): Coordinator {
    return this.#stage.processes[each] as Coordinator;
  }
}

it('an election does as a model of one thread does, in any order of steps', {
  timeout: 120_000,
}, async () => {
  await play<Step, Model, System>(
    etcd,
    { processes: candidates, runs: 1_000 },
    {
      step,
      model: () => ({ standing: [], leader: undefined, former: undefined }),
      system: (stage) => new System(stage),
      can,
      apply,
      run: (system, each, { former }) => system.run(each, former),
      check: (system, model) => system.check(model),
      finish: (system, model) => system.finish(model),
      leftovers: ({ name }) => prefixRange(folderOf('election', name)),
    },
  );
});
