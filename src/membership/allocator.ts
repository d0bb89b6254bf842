import type { Session } from '../core/session/session.js';
import { persist } from '../core/time/persist.js';
import { type Assignment, encodeAssignment } from './assignment.js';
import type { Member } from './member.js';
import type { PartitionKeys, ShareOf } from './partition-keys.js';
import { maxWeight, type Owners, type Shareholder, share } from './shares.js';

/** Where members come and go without end, shards move after so many times `settle`. */
const patience = 10;
/** Who is not the oldest member leaves it to those before him for so many milliseconds each, and for so many at most. */
const [forbearance, longest] = [500, 5_000];

/** What is, and what was decided. */
export interface Plan {
  readonly members: readonly Member<ShareOf>[];
  readonly assignment: Assignment;
  /** Who is to own what until something else is decided: as is decided, or was before somebody deleted that. */
  readonly before: Owners;
}

/** How to decide. */
export interface AllocatorSpec {
  readonly session: Session;
  readonly keys: PartitionKeys;
  /** Our own. */
  readonly id: string;
  readonly settle: number;
  /** It could not be written; it is tried again. */
  readonly onError: (error: unknown) => void;
}

/**
 * Decides who is to own which shard, when members have come or gone: on condition that nobody has decided otherwise meanwhile. So
 * it does not matter who does it: most often the oldest member.
 */
export class Allocator {
  readonly #spec: AllocatorSpec;
  readonly #life = new AbortController();
  #plan: Plan | undefined;
  /** Who was there when we began to wait, and when they were first others than those decided for. */
  #waiting: { readonly who: string; readonly since: number } | undefined;
  #stopTimer = (): void => {};

  constructor(spec: AllocatorSpec) {
    this.#spec = spec;
  }

  /** How it is now: decides anew if that asks for it, and stays so for a while. */
  see(plan: Plan): void {
    this.#plan = plan;
    const next = this.#next(plan);
    if (!next) {
      this.#stopTimer();
      this.#waiting = undefined;
      return;
    }
    const who = JSON.stringify(plan.members.map(shareholder));
    if (who !== this.#waiting?.who) this.#wait(who, plan);
  }

  /** Decides as if we were not there any more, at once; if that fails, the others will see to it. */
  async leave(): Promise<void> {
    this.stop();
    if (!this.#plan) return;
    const { assignment } = this.#plan;
    const members = this.#plan.members.filter(({ id }) => id !== this.#spec.id);
    const next = this.#next({ ...this.#plan, members });
    if (next) await this.#commit(assignment, next, {}).catch(() => {});
  }

  stop(): void {
    this.#life.abort();
    this.#stopTimer();
  }

  /** Who is to own what; `undefined` if that is decided. Where nobody is there, nothing is. */
  #next({ members, assignment: { owners, shards }, before }: Plan): Owners | undefined {
    if (members.length === 0) return undefined;
    const next = share(before, members.map(shareholder), shards);
    return next.some((id, shard) => id !== owners[shard]) ? next : undefined;
  }

  #wait(who: string, { members }: Plan): void {
    this.#stopTimer();
    const { session, settle, id } = this.#spec;
    const now = session.clock.now();
    const since = this.#waiting?.since ?? now;
    this.#waiting = { who, since };
    const before = members.findIndex((member) => member.id === id);
    // Who is no member has no say.
    if (before < 0) return;
    const rest = Math.min(settle, Math.max(0, since + patience * settle - now));
    const turn = Math.min(before * forbearance, longest);
    this.#stopTimer = session.clock.after(rest + turn, () => void this.#decide());
  }

  async #decide(): Promise<void> {
    const { session, onError } = this.#spec;
    const { signal } = this.#life;
    const { clock } = session;
    const plan = this.#plan as Plan;
    const next = this.#next(plan);
    // Somebody else may be faster, and have seen less: then it is to be decided once more.
    this.#waiting = undefined;
    try {
      if (next) {
        await persist((limit) => this.#commit(plan.assignment, next, limit), signal, clock);
      }
    } catch (error) {
      if (signal.aborted || session.closing.aborted) return;
      onError(error);
      this.#stopTimer = clock.after(longest, () => void this.#decide());
    }
  }

  /** Whoever was faster will be seen. */
  async #commit(
    { revision, shards }: Assignment,
    owners: Owners,
    limit: { readonly timeout?: number },
  ): Promise<void> {
    const { session, keys } = this.#spec;
    const key = keys.assignment;
    const compare = [{ key, target: 'mod', to: revision }] as const;
    const put = { key, value: encodeAssignment({ shards, owners }) };
    await session.store.commit({ compare, success: [{ put }] }, { ...limit, idempotent: true });
  }
}

function shareholder({ id, payload }: Member<ShareOf>): Shareholder {
  const { weight } = Object(payload) as Partial<ShareOf>;
  const isWhole = Number.isSafeInteger(weight);
  return { id, weight: isWhole ? Math.min(Math.max(0, weight as number), maxWeight) : 0 };
}
