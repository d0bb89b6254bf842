import { Mirror } from '../cache/mirror.js';
import { ConflictError } from '../core/store/errors.js';
import { Allocator } from './allocator.js';
import type { Assignment } from './assignment.js';
import { type FieldsEntry, fields } from './member.js';
import { Membership } from './membership.js';
import type { ShareOf } from './partition-keys.js';
import { type DutySpec, ShardDuty } from './shard-duty.js';

/** How one takes part. */
export interface PartitionRunSpec extends DutySpec {
  readonly shards: number;
  /** A revision at which that was so. */
  readonly since: bigint;
  readonly settle: number;
  readonly weight: number;
}

/** One who takes part in a partitioner. */
export class PartitionRun {
  readonly #spec: PartitionRunSpec;
  readonly #allocator: Allocator;
  readonly #mirror: Mirror<FieldsEntry['value']>;
  /** By shard, those that are ours, are to be, or are on their way to others. */
  readonly #duties = new Map<number, ShardDuty>();
  /** Those that are to be ours. */
  #own: ReadonlySet<number> = new Set();
  /** What was decided last. */
  #assignment: Assignment | undefined;
  /** Another has our ID: what is decided for that is for him. */
  #isReplaced = false;

  constructor(spec: PartitionRunSpec) {
    const { session, keys, events } = spec;
    this.#spec = spec;
    const onError = (error: unknown): boolean => events.emit('error', error);
    this.#allocator = new Allocator({ ...spec, onError });
    this.#mirror = new Mirror(session, keys.plan, { codec: fields, onFailure: 'retry' });
  }

  /**
   * Takes part until `stop` aborts. Settles when all handlers have ended.
   *
   * @throws ConflictError if others decided on another number of shards; RefusedError if etcd refuses what cannot be done without.
   * @throws the reason of `stop`.
   */
  async run(stop: AbortSignal): Promise<never> {
    let membership: Membership<ShareOf> | undefined;
    try {
      membership = await this.#join(stop);
      // Others in this process may follow the same, and be behind what we have seen.
      await this.#mirror.waitForRevision(this.#spec.since, { signal: stop });
      // What was decided last holds where etcd refuses to have more read: lines see to it that each shard has one owner.
      this.#mirror.on('error', (error) => this.#spec.events.emit('error', error));
      for await (const _ of this.#mirror.watch({ signal: stop })) this.#look();
      throw stop.reason;
    } finally {
      this.#assignment = undefined;
      this.#own = new Set();
      const ended = this.#endAll();
      // Others need not wait for our handlers to know that we go; where that is refused, it goes with the session.
      if (this.#isReplaced) this.#allocator.stop();
      else await this.#allocator.leave();
      await Promise.allSettled([membership?.leave(), ended]);
      this.#mirror.close();
    }
  }

  async #join(signal: AbortSignal): Promise<Membership<ShareOf>> {
    const { session, keys, name, id, weight, events } = this.#spec;
    const onWaiting = (): void => this.#replaced(true);
    const spec = { recipe: 'partitioner', name, folder: keys.members, id, onWaiting };
    const membership = await Membership.join(session, spec, { weight }, { signal });
    this.#isReplaced = membership.token === undefined;
    return membership
      .on('error', (error) => events.emit('error', error))
      .on('joined', () => this.#replaced(false));
  }

  /** Does what is decided, and sees to it that what is to be decided is. */
  #look(): void {
    const { keys, name, shards } = this.#spec;
    const entries = this.#mirror.entries();
    const assignment = keys.hasAssignment(entries)
      ? keys.assignmentIn(entries)
      : { revision: 0n, shards, owners: [] };
    if (assignment?.shards !== shards) {
      throw new ConflictError(
        `partitioner ${name} has ${assignment?.shards ?? 'no'} shards, not ${shards}`,
      );
    }
    // Where nothing is decided, as at the beginning or when somebody has deleted it, all stays as it was until it is.
    if (assignment.owners.length > 0) this.#assignment = assignment;
    const before = this.#assignment?.owners ?? [];
    this.#allocator.see({ members: keys.membersIn(entries), assignment, before });
    this.#assign();
  }

  #replaced(isReplaced: boolean): void {
    const { id, events } = this.#spec;
    this.#isReplaced = isReplaced;
    if (isReplaced) events.emit('waiting', { id });
    this.#assign();
  }

  /** Has us own what is decided to be ours, and nothing else. */
  #assign(): void {
    if (!this.#assignment) return;
    const { id, events } = this.#spec;
    const { revision, owners } = this.#assignment;
    const isOurs = (owner: string | undefined): boolean => !this.#isReplaced && owner === id;
    const shards = owners.flatMap((owner, shard) => (isOurs(owner) ? [shard] : []));
    const before = this.#own;
    this.#own = new Set(shards);
    for (const [shard, duty] of this.#duties) if (!this.#own.has(shard)) duty.end();
    for (const shard of shards) if (!this.#duties.has(shard)) void this.#begin(shard);
    if (before.size === shards.length && shards.every((shard) => before.has(shard))) return;
    events.emit('assigned', { revision, shards });
  }

  async #begin(shard: number): Promise<void> {
    const duty = new ShardDuty(this.#spec, shard);
    this.#duties.set(shard, duty);
    await duty.done;
    this.#duties.delete(shard);
    // It may be for us again.
    if (this.#own.has(shard)) void this.#begin(shard);
  }

  async #endAll(): Promise<void> {
    const duties = [...this.#duties.values()];
    for (const duty of duties) duty.end();
    await Promise.all(duties.map(({ done }) => done));
  }
}
