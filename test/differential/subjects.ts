import { operations } from './arbitraries.js';
import { type AuthOperation, authOperations } from './auth-operations.js';
import { AuthPair } from './auth-pair.js';
import type { Subject } from './compare.js';
import { AUTHENTICATION, EVERYTHING } from './coverage.js';
import type { Operation } from './operations.js';
import { Pair } from './pair.js';

/** Keys, leases and watches, of callers who may do everything. */
export const everything: Subject<Operation> = {
  operations,
  expected: EVERYTHING,
  start: (counts) => Pair.start(counts),
};

/** What users may do. */
export const authentication: Subject<AuthOperation> = {
  operations: authOperations,
  expected: AUTHENTICATION,
  start: (counts) => AuthPair.start(counts),
};
