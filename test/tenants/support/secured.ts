import { afterAll, beforeAll, inject } from 'vitest';
import type { Coordinator, TenantCredentials } from '../../../src/index.js';
import { startAlike, type TestEtcd } from '../../support/etcd.js';

const root = { user: 'root', password: 'secret' };

/** An etcd that asks everybody who they are, of the file's own. */
export interface SecuredEtcd {
  readonly endpoint: string;
  /** What etcd of this release can do: gaps are known in those that are not up to date. */
  readonly isolation: 'server' | 'best-effort';
  /** Connects as root, or as a tenant. */
  connect(auth?: TenantCredentials['auth']): Promise<Coordinator>;
}

/** Starts it before the tests of a file. */
export function useSecured(etcd: TestEtcd): SecuredEtcd {
  let endpoint = '';
  let stop = async (): Promise<void> => {};
  beforeAll(async () => {
    const own = await startAlike({ auth: { password: root.password } });
    [endpoint = ''] = own.endpoints;
    stop = () => own.stop();
  });
  afterAll(() => stop());
  return {
    get endpoint() {
      return endpoint;
    },
    isolation: inject('etcd').includes('3.4') ? 'best-effort' : 'server',
    connect: (auth = root) => etcd.connect({ endpoints: [endpoint], auth }),
  };
}
