export type { ForcedRelease } from '../core/line/intervention.js';
export type { Assignment } from './assignment.js';
export { Group, type JoinOptions } from './group.js';
export type { Member } from './member.js';
export { Members, type MembersEvents, type MembersOptions } from './members.js';
export { Membership, type MembershipEvents } from './membership.js';
export type { ShareOf } from './partition-keys.js';
export { Partitioner } from './partitioner.js';
export type {
  PartitionerEvents,
  PartitionerOptions,
  PartitionerState,
  PartitionOptions,
  ShardEntry,
  ShardEvent,
  ShardHandler,
  ShardState,
} from './partitioner-options.js';
export type { MembersChange } from './roster.js';
export type { ShardHold } from './shard-hold.js';
