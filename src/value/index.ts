export { Counter } from './counter.js';
export { Sequence, type SequenceOptions } from './sequence.js';
export { SharedValue, type SharedValueOptions, type Versioned } from './shared-value.js';
