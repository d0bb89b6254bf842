export type { ForcedHolder, ForcedRelease } from '../core/line/intervention.js';
export { type AcquireOptions, type HoldEvent, Lock, type LockEvents } from './lock.js';
export { MultiLock } from './multi-lock.js';
export { Mutex, type MutexOptions, type MutexState } from './mutex.js';
export {
  type LockMode,
  type ModeEntry,
  ReadWriteLock,
  type ReadWriteLockState,
} from './read-write-lock.js';
export {
  type PermitEntry,
  type PermitOptions,
  Semaphore,
  type SemaphoreOptions,
  type SemaphoreState,
} from './semaphore.js';
