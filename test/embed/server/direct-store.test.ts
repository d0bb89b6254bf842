import { afterAll, beforeAll, describe } from 'vitest';
import { type InProcessEtcd, start } from '../../../src/embed/index.js';
import { storeSuite } from '../../../src/testing/store-suite.js';
import { runCases } from '../../support/run-cases.js';

describe('a store without a connection', () => {
  let server: InProcessEtcd;
  beforeAll(async () => {
    server = await start({ listenClientUrls: [] });
  });
  afterAll(() => server.stop());
  runCases(storeSuite({ make: () => server.store() }));
});
