import { expect, it } from 'vitest';
import { RefusedError, SessionLostError } from '../../src/index.js';
import { waitFor } from '../../src/testing/index.js';
import { useEtcd } from '../support/etcd.js';
import { useSecured } from './support/secured.js';

const etcd = useEtcd();
const secured = useSecured(etcd);

// 3.4 asks nobody who renews who he is.
it.skipIf(secured.isolation === 'best-effort').each(['suspend', 'rotate', 'delete'] as const)(
  'the session of a tenant is lost for a refusal when etcd hears of %s',
  async (action) => {
    const admin = await secured.connect();
    const { isolation } = secured;
    const name = etcd.name();
    const { auth } = await admin.tenants.create(name, { isolation });
    etcd.defer(() => admin.tenants.delete(name).catch(() => {}));
    const session = { ttl: 6_000 };
    const endpoints = [secured.endpoint];
    const ours = await etcd.connect({ endpoints, session, ...(auth && { auth }) });
    const acme = await ours.tenant(name);
    const hold = await acme.mutex('m').acquire();
    const { signal } = ours.session;
    await admin.tenants[action](name);
    await waitFor(() => signal.aborted);
    expect(signal.reason).toBeInstanceOf(SessionLostError);
    expect(signal.reason).toMatchObject({ reason: 'refused', cause: expect.any(RefusedError) });
    // Its key goes with the tenant, perhaps before.
    expect(['refused', action === 'delete' && 'deleted']).toContain(hold.lost);
  },
);
