export {
  type HoldEvent,
  Mutex,
  type MutexEvents,
  type MutexOptions,
  type MutexState,
} from './mutex.js';
