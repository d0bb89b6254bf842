import { expect, it } from 'vitest';
import { Hold } from '../../../src/core/line/hold.js';
import { Line } from '../../../src/core/line/line.js';
import { prefixRange } from '../../../src/core/store/keys.js';
import { Session } from '../../../src/index.js';
import { useEtcd } from '../../support/etcd.js';
import { has, noAnswer, override } from '../../support/override.js';

const etcd = useEtcd();

it('tells that its keys will be gone where the lease ends during its release', async () => {
  const silent = override(etcd.admin, {
    commit: (txn, options) =>
      has('delete', txn) ? Promise.reject(noAnswer()) : etcd.admin.commit(txn, options),
  });
  const session = await Session.open(silent);
  let gone = 0;
  const name = etcd.name();
  const folder = `${name}/`;
  const line = new Line(session, {
    recipe: 'mutex',
    verb: 'acquire',
    name,
    lanes: [{ folder, rivals: prefixRange(folder) }],
    holdOf: (store, grant) => new Hold(store, { ...grant, onGone: () => (gone += 1) }),
  });
  const hold = await line.enter(
    {},
    () => {},
    () => {},
  );
  const released = hold.release();
  await session.close(0);
  expect([await released, gone]).toEqual([false, 1]);
});
