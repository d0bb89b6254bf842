import { randomUUID } from 'node:crypto';
import { describe } from 'vitest';
import { Etcd3Store, Namespace } from '../../src/index.js';
import { storeSuite } from '../../src/testing/store-suite.js';
import { sharedEndpoint } from '../support/endpoint.js';
import { override } from '../support/override.js';
import { runCases } from '../support/run-cases.js';

const open = (): Etcd3Store => new Etcd3Store({ endpoints: [sharedEndpoint()] });

describe('a store on etcd', () => {
  runCases(storeSuite({ make: open }));
});

describe('a namespace', () => {
  const cases = storeSuite({
    make: () => {
      const store = open();
      const namespace = new Namespace(store, `tenants/${randomUUID()}/`);
      // Closing a namespace does nothing by itself: the store below belongs to others.
      return override(namespace, { close: () => store.close() });
    },
  });
  runCases(cases);
});
