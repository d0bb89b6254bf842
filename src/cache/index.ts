export { Mirror } from './mirror.js';
export type {
  IndexOf,
  MirrorChange,
  MirrorEntry,
  MirrorEvents,
  MirrorOptions,
  MirrorState,
  MirrorStep,
} from './mirror-options.js';
