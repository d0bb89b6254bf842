import { start } from '../../../../src/embed/index.js';
import { UnavailableError } from '../../../../src/index.js';

// A process that does nothing but wait for an answer that never comes.
const etcd = await start();
etcd.faults.add({ rpc: 'KV.Range', kind: 'hang' });
try {
  await etcd.store().read({ key: 'k' }, { timeout: 300 });
} catch (error) {
  process.exitCode = error instanceof UnavailableError ? 0 : 2;
}
