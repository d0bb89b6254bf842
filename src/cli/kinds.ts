import { type Command, Option } from 'commander';
import type { Coordinator } from '../coordinator.js';
import type { Codec } from '../core/codec.js';
import { ArgumentError } from '../core/store/errors.js';
import { toBytes } from '../core/store/keys.js';
import type { WaitOptions } from '../core/time/signals.js';
import type { Lock } from '../lock/lock.js';
import type { MutexOptions } from '../lock/mutex.js';
import { type ConnectionFlags, withConnectionOptions } from './connection-options.js';
import type { Someone } from './line-table.js';
import { layoutOption } from './lock-options.js';

/** What the command line says about what is meant. */
export interface KindFlags extends ConnectionFlags, Required<Pick<MutexOptions, 'layout'>> {
  readonly kind: string;
}

/** What there is to see of something. */
export interface Shown {
  /** What is true of the whole; `null` where it is not known. */
  readonly facts?: Readonly<Record<string, unknown>>;
  /** Who takes part, by what they do. */
  readonly people?: Readonly<Record<string, Someone | undefined | readonly Someone[]>>;
  /** What nobody does where nobody takes part, if that is worth a word. */
  readonly verb?: string;
}

/** What can be taken from who has it. */
type Revocable = Pick<Lock, 'requestRevoke' | 'forceRelease'>;

/** Where something is, and what it is called. */
interface Meant extends Pick<KindFlags, 'layout'> {
  readonly place: Coordinator;
  readonly name: string;
}

/** A kind of recipe, for operators. */
interface Kind {
  readonly inspect: (meant: Meant, wait: WaitOptions) => Promise<Shown>;
  /** Those whose holders can be interfered with. */
  readonly revocable?: (meant: Meant) => readonly Revocable[];
}

/** Whatever others have written, as they wrote it: parsed where it is JSON. */
const anything: Codec<unknown> = {
  encode: String,
  decode: (bytes) => {
    const text = toBytes(bytes).toString();
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  },
};

/** To look at it, no number of parties is needed. */
const whatever = 1;
/** Nor what is followed: that is written down. */
const whenever = '* * * * *';

const kinds: Readonly<Record<string, Kind>> = {
  mutex: {
    inspect: async ({ place, name, layout }, wait) => {
      const { holder, waiters } = await place.mutex(name, { layout }).inspect(wait);
      return { people: { holder, waiters }, verb: 'holds' };
    },
    revocable: ({ place, name, layout }) => [place.mutex(name, { layout })],
  },
  'read-write-lock': {
    inspect: async ({ place, name }, wait) => {
      const { holders, waiters } = await place.readWriteLock(name).inspect(wait);
      const [held, waited] = [holders, waiters].map((entries) =>
        entries.map((entry) => ({ ...entry, as: entry.mode })),
      );
      return { people: { holders: held, waiters: waited }, verb: 'holds' };
    },
    revocable: ({ place, name }) => {
      const { write, upgradeable, read } = place.readWriteLock(name);
      return [write, upgradeable, read];
    },
  },
  semaphore: {
    inspect: async ({ place, name }, wait) => {
      const { limit, holders, waiters } = await place.semaphore(name).inspect(wait);
      const [held, waited] = [holders, waiters].map((entries) =>
        entries.map((entry) => ({ ...entry, as: String(entry.permits) })),
      );
      const facts = limit === undefined ? {} : { limit };
      return { facts, people: { holders: held, waiters: waited }, verb: 'holds' };
    },
    revocable: ({ place, name }) => [place.semaphore(name)],
  },
  election: {
    inspect: async ({ place, name, layout }, wait) => {
      const { leader, candidates } = await place.election(name, { layout }).inspect(wait);
      return { people: { leader, candidates }, verb: 'leads' };
    },
    revocable: ({ place, name, layout }) => [place.election(name, { layout })],
  },
  schedule: {
    inspect: async ({ place, name }, wait) => {
      const state = await place.schedule(name, whenever).inspect(wait);
      const { cron = null, next = null, last, runner, waiters } = state;
      const token = last && String(last.token);
      return {
        facts: { cron, next, last: last ? { ...last, token } : null },
        people: { runner, waiters },
        verb: 'runs',
      };
    },
  },
  gate: {
    inspect: async ({ place, name }, wait) => {
      const { raised, ...by } = await place.gate(name).inspect(wait);
      return { facts: { raised }, people: { by: raised ? by : undefined } };
    },
  },
  latch: {
    inspect: async ({ place, name }, wait) => {
      const { count = null, parties } = await place.latch(name, whatever).inspect(wait);
      return { facts: { count, parties } };
    },
  },
  'cyclic-barrier': {
    inspect: async ({ place, name }, wait) => {
      const state = await place.cyclicBarrier(name, whatever).inspect(wait);
      const { generation = null, count = null, waiting } = state;
      return { facts: { generation, count }, people: { waiting } };
    },
  },
  'double-barrier': {
    inspect: async ({ place, name }, wait) => {
      const state = await place.doubleBarrier(name, whatever).inspect(wait);
      const { generation = null, count = null, waiting, inside } = state;
      return { facts: { generation, count }, people: { inside, waiting } };
    },
  },
  partitioner: {
    inspect: async ({ place, name }, wait) => {
      const { members, shards } = await place.partitioner(name, { shards: 1 }).inspect(wait);
      const owners = shards.flatMap(({ shard, owner }) =>
        owner ? [{ ...owner, as: String(shard), id: owner.member ?? '' }] : [],
      );
      const moving = shards.filter(({ assigned, owner }) => owner?.member !== assigned);
      const facts = { shards: shards.length, members: members.length, moving: moving.length };
      return { facts, people: { owners }, verb: 'owns a shard of' };
    },
  },
  counter: {
    inspect: async ({ place, name }, wait) => ({
      facts: { value: String(await place.counter(name).get(wait)) },
    }),
  },
  sequence: {
    inspect: async ({ place, name }, wait) => ({
      facts: { last: String(await place.sequence(name).last(wait)) },
    }),
  },
  value: {
    inspect: async ({ place, name }, wait) => {
      const { value = null, revision } = await place.value(name, { codec: anything }).get(wait);
      return { facts: { value, revision: String(revision) } };
    },
  },
};

/** Adds the options that say which thing is meant; `revocable`: of those only that can be taken from who has them. */
export function withKindOptions(command: Command, which: 'all' | 'revocable'): Command {
  const names = Object.keys(kinds).filter((name) => which === 'all' || kinds[name]?.revocable);
  return withConnectionOptions(command)
    .addOption(new Option('--kind <kind>', 'what it is').choices(names).default('mutex'))
    .addOption(layoutOption());
}

/** What there is to see of what the command line means. */
export function look(
  place: Coordinator,
  name: string,
  flags: KindFlags,
  wait: WaitOptions,
): Promise<Shown> {
  return kindOf(flags).inspect({ place, name, layout: flags.layout }, wait);
}

/** What can be taken from who has it, of what the command line means. */
export function revocable(
  place: Coordinator,
  name: string,
  flags: KindFlags,
): readonly Revocable[] {
  return kindOf(flags).revocable?.({ place, name, layout: flags.layout }) ?? [];
}

function kindOf({ kind, layout }: KindFlags): Kind {
  if (layout === 'go' && kind !== 'mutex' && kind !== 'election') {
    throw new ArgumentError('--layout', `'recipes' for a ${kind}`, layout);
  }
  return kinds[kind] as Kind;
}
