export type { BlockedKey, Unblock } from './blocked.js';
export type { CancelOptions, UnfinishedState } from './cancellation.js';
export type { Cleared, ClearOptions } from './clearing.js';
export {
  type BatchHandler,
  type BatchOptions,
  type ConsumeOptions,
  Consumer,
  type ConsumerEvents,
  type Handler,
  type JobSource,
  type Jobs,
} from './consumer.js';
export { DeadLetters, type Letters, type RedriveOptions } from './dead-letters.js';
export { type AckOptions, Job, type NackOptions } from './job.js';
export { JobCancelledError } from './job-cancelled-error.js';
export { JobFailedError } from './job-failed-error.js';
export type { Skipped } from './job-maker.js';
export type { Cancellation, Failure } from './job-record.js';
export { JobTxn } from './job-txn.js';
export type { ClaimView, JobState, JobView } from './job-view.js';
export type { JobPage, PageOptions } from './listing.js';
export type { QueueEvents } from './managed-queue.js';
export type { Pause } from './pausing.js';
export { Queue, type Receipt } from './queue.js';
export type {
  BackoffPolicy,
  Exhausted,
  JobOptions,
  Keep,
  QueueOptions,
  Retention,
} from './queue-options.js';
export { type JobEvent, QueueWatch } from './queue-watch.js';
export type { RepeatOptions, Repetition } from './repeat-record.js';
export type { QueueRates, QueueStats, StatsChange, StatsOptions } from './stats.js';
