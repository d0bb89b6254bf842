import type { OperationReply } from '../store/store.js';

/** Why a transaction that was applied has no reply: etcd's history does not tell all of it. */
export class PartialReply extends Error {
  /** The revision at which it was applied. */
  readonly revision: bigint;
  /** What is known of each step; `undefined` for the others. */
  readonly replies: readonly (OperationReply | undefined)[];

  constructor(
    revision: bigint,
    replies: readonly (OperationReply | undefined)[],
    options: ErrorOptions,
  ) {
    super("etcd's history does not tell all that was read", options);
    this.name = 'PartialReply';
    this.revision = revision;
    this.replies = replies;
  }
}
