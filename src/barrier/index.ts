export { CyclicBarrier, type CyclicBarrierState, type Passage } from './cyclic-barrier.js';
export { DoubleBarrier, type DoubleBarrierState } from './double-barrier.js';
export { Gate, type GateState, type RaiseOptions } from './gate.js';
export { Latch, type LatchState } from './latch.js';
