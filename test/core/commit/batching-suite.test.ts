import { randomUUID } from 'node:crypto';
import { describe } from 'vitest';
import { BatchingStore } from '../../../src/core/commit/batching-store.js';
import { ExactlyOnceStore } from '../../../src/core/commit/exactly-once-store.js';
import { Etcd3Store, type Store, type Txn } from '../../../src/index.js';
import { storeSuite } from '../../../src/testing/store-suite.js';
import { sharedEndpoint } from '../../support/endpoint.js';
import { override } from '../../support/override.js';
import { runCases } from '../../support/run-cases.js';

const open = (): Store => new Etcd3Store({ endpoints: [sharedEndpoint()] });
/** Asks for exactly once, whatever is committed. */
const asking = (store: Store): Store =>
  override(store, {
    commit: (txn, options) => store.commit(txn, { ...options, exactlyOnce: true }),
  });
/** Has every commit travel in company. */
const accompanied = (store: Store): Store =>
  override(store, {
    commit: (txn, options) => {
      const folder = `companions/${randomUUID()}/`;
      for (const name of ['a', 'b', 'c']) {
        const companion: Txn = { success: [{ delete: { key: `${folder}${name}` } }] };
        store.commit(companion).catch(() => {});
      }
      return store.commit(txn, options);
    },
  });

describe('a store that keeps marks', () => {
  runCases(storeSuite({ make: () => asking(new ExactlyOnceStore(open())) }));
});

describe('a store that batches', () => {
  runCases(storeSuite({ make: () => new BatchingStore(open()) }));
});

describe('a store that batches what is to be applied exactly once, in company', () => {
  const make = (): Store => asking(accompanied(new BatchingStore(new ExactlyOnceStore(open()))));
  runCases(storeSuite({ make }));
});
