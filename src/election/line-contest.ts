import { entryOf, Line } from '../core/line/line.js';
import type { Session } from '../core/session/session.js';
import { ArgumentError } from '../core/store/errors.js';
import { type KeyRange, prefixRange } from '../core/store/keys.js';
import type { KeyValue } from '../core/store/store.js';
import type { WaitOptions } from '../core/time/signals.js';
import { nonEmpty } from '../core/validate.js';
import type { Contest, ContestListener } from './contest.js';
import { type ElectionEntry, type ElectionState, lastPartOf } from './roll.js';
import { Term } from './term.js';

/** An election in a line, first come first served, as Go's `concurrency.Election` and `etcdctl elect` keep it. */
export class LineContest implements Contest {
  readonly all: KeyRange;
  readonly terms: KeyRange;
  readonly #session: Session;
  readonly #name: string;
  readonly #folder: string;

  /** @throws ArgumentError if the name is empty. */
  constructor(session: Session, name: string) {
    this.#session = session;
    this.#name = name;
    this.#folder = `${nonEmpty('name', name)}/`;
    this.all = prefixRange(this.#folder);
    this.terms = this.all;
  }

  /** Who leads goes on standing with the same key. */
  candidacyOf(): readonly string[] {
    return [];
  }

  leaderAmong(kvs: readonly KeyValue[]): ElectionEntry | undefined {
    return this.stateOf(kvs).leader;
  }

  stateOf(kvs: readonly KeyValue[]): ElectionState {
    const byAge = kvs.toSorted((a, b) => Number(a.createRevision - b.createRevision));
    const [leader, ...candidates] = byAge.map(lineEntryOf);
    return { leader, candidates };
  }

  async campaign(value: string, wait: WaitOptions, listener: ContestListener): Promise<Term> {
    const line = this.#line(value);
    return (await line.enter(wait, listener.waiting, listener.lost)) as Term;
  }

  async tryCampaign(
    value: string,
    wait: WaitOptions,
    listener: ContestListener,
  ): Promise<Term | undefined> {
    return (await this.#line(value).tryEnter(wait, listener.lost)) as Term | undefined;
  }

  #line(value: string): Line {
    return new Line(this.#session, {
      recipe: 'election',
      verb: 'campaign',
      name: this.#name,
      lanes: [{ folder: this.#folder, rivals: this.all }],
      value,
      holdOf: (store, grant) => new Term(store, grant, office),
    });
  }
}

const office = {
  encode: (value: string): string => value,
  nominate: (id: string): never => {
    throw new ArgumentError('transferTo', "used in the layout 'recipes' only", id);
  },
};

/** Whoever else may have put the key: what it has is the value. */
function lineEntryOf(kv: KeyValue): ElectionEntry {
  const { key, token, lease } = entryOf(kv);
  const said = { id: lastPartOf(key), priority: 0, value: kv.value.toString() };
  return { key, token, lease, owner: undefined, age: undefined, ...said };
}
