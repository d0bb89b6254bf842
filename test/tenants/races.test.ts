import fc from 'fast-check';
import { inject, it } from 'vitest';
import { useEtcd } from '../support/etcd.js';
import { type Race, race } from './support/race.js';
import { useSecured } from './support/secured.js';

const secured = useSecured(useEtcd());

const races: readonly Race[] = [
  ['create', 'create', 'none'],
  ['create', 'delete', 'none'],
  ['rotate', 'rotate', 'active'],
  ['suspend', 'resume', 'active'],
  ['resume', 'suspend', 'suspended'],
  ['delete', 'rotate', 'active'],
  ['delete', 'create', 'active'],
  ['rotate', 'suspend', 'active'],
];
const runs = Number(process.env['TENANT_SCHEDULES'] ?? 4);

/** Whose turn it is, several times in a row: so that one may come to his end while something of the other is held. */
const choices = fc
  .array(fc.tuple(fc.nat({ max: 1 }), fc.integer({ min: 1, max: 20 })), { minLength: 1 })
  .map((blocks) => blocks.flatMap(([who, times]) => Array.from({ length: times }, () => who)));

it.skipIf(inject('engine') === 'etcd').each(races)(
  'two admins who %s and %s a tenant that is %s agree with etcd on what it is, whoever comes first',
  async (...each) => {
    const admins = [await secured.connect(), await secured.connect()] as const;
    const property = fc.asyncProperty(choices, async (order) => {
      await race(secured, each, admins, order);
    });
    await fc.assert(property, { numRuns: runs, endOnFailure: true });
  },
);

it.skipIf(inject('engine') === 'etcd').each(races)(
  'who loses the session at any request to %s, while somebody comes to %s a tenant that is %s, lets nobody in by what comes late',
  async (...each) => {
    const admins = [await secured.connect(), await secured.connect()] as const;
    for (let at = 1; ; at += 1) {
      const order = Array.from({ length: 100 }, (_, turn) => (turn < at ? 0 : 1));
      if (!(await race(secured, each, admins, order, at))) return;
    }
  },
);
