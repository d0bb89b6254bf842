export type { HealthCheck } from '../core/health.js';
export { Election } from './election.js';
export type { ElectionEvents, LeaderChange } from './election-events.js';
export type { ElectionOptions, RunOptions, TermEvent } from './election-options.js';
export type { ElectionEntry, ElectionState } from './roll.js';
export { Schedule } from './schedule.js';
export type {
  ScheduledJob,
  ScheduleEvents,
  ScheduleOptions,
  ScheduleState,
  TickContext,
  TickEvent,
  TickReport,
} from './schedule-options.js';
export type { Term } from './term.js';
