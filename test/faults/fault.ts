import { setTimeout as sleep } from 'node:timers/promises';
import type { EtcdMember, FaultProxy } from '../../src/embed/index.js';
import type { Coordinator, ErrorCode, LossReason } from '../../src/index.js';
import type { Site, SiteKind } from './site.js';
import type { VerbName } from './verbs.js';

/** What must become of a verb. */
export type Expectation = (
  | {
      readonly is: 'goes on';
      /** Not before it has failed in one of these ways, perhaps. */
      readonly mayFailWith?: readonly ErrorCode[];
    }
  /** It fails, in no other way than these. */
  | { readonly is: 'rejects'; readonly with: readonly ErrorCode[] }
  /** What it holds is lost, for one of these reasons; what it asks for meanwhile may find nobody. */
  | { readonly is: 'lost'; readonly reasons: readonly LossReason[] }
  /** It goes on, because the fault is not about it. */
  | { readonly is: 'does not apply'; readonly because: string }
) & {
  /** Milliseconds without a success at most: from the fault, or for an outage from its end. */
  readonly within: number;
};

/** Where and whom a fault hits. */
export interface Target {
  readonly site: Site;
  readonly coordinator: Coordinator;
  /** Under it the verbs keep their keys. */
  readonly prefix: string;
  /** The member that the client uses. */
  readonly used: EtcdMember;
  /** In front of it. */
  readonly proxy: FaultProxy;
  /** Its place. */
  readonly place: number;
  /** The member that leads. */
  readonly leader: EtcdMember;
}

/** One thing that goes wrong. */
export interface Fault {
  readonly name: string;
  /** Is part of the short form. */
  readonly matters?: true;
  /** @defaultValue `'plain'` */
  readonly site?: SiteKind;
  /** Which member the client uses. @defaultValue `'leader'` */
  readonly uses?: 'leader' | 'follower';
  /** Milliseconds until it is healed. @defaultValue 1,500 */
  readonly lasts?: number;
  /** Nobody could do anything until it was healed. */
  readonly outage?: true;
  /** Of the session, in milliseconds. @defaultValue 5,000 */
  readonly ttl?: number;
  /** For each call, in milliseconds. @defaultValue 5,000, the library's own */
  readonly timeout?: number;
  strike(target: Target): Promise<unknown>;
  /** Before all proxies and members are as they were. */
  heal?(target: Target): Promise<unknown>;
  expect(verb: VerbName): Expectation;
}

const goesOn = (within: number) => ({ is: 'goes on', within }) as const;
const noConcern = (because: string): Expectation => ({
  is: 'does not apply',
  because,
  within: 1_500,
});
const lost = (reasons: LossReason | readonly LossReason[], within: number): Expectation => ({
  is: 'lost',
  reasons: [reasons].flat(),
  within,
});

const rejects = (codes: readonly ErrorCode[], within: number): Expectation => ({
  is: 'rejects',
  with: codes,
  within,
});
/** What waits has a limit of its own, which may pass before that of the call it makes. */
const unanswered = (verb: VerbName): readonly ErrorCode[] =>
  verb === 'stm' || verb === 'mutex wait'
    ? ['ERR_UNAVAILABLE', 'ERR_WAIT_TIMEOUT']
    : ['ERR_UNAVAILABLE'];

/** Of a member that is silent: the limit of an attempt, an election, and what a busy machine takes. */
const failover = 3_000;
const hiccup = 1_500;

const renewal = 2_500;

/** Renewals come every third of the TTL anyway. */
const most =
  (within: number) =>
  (verb: VerbName): Expectation =>
    goesOn(verb === 'session' ? Math.max(within, renewal) : within);

const members: readonly Fault[] = [
  {
    name: 'kill -9 of the leader, in use',
    matters: true,
    strike: ({ used }) => used.kill(),
    expect: most(failover),
  },
  {
    name: 'kill -9 of a follower, in use',
    uses: 'follower',
    strike: ({ used }) => used.kill(),
    expect: most(hiccup),
  },
  {
    name: 'SIGSTOP of the leader, in use',
    matters: true,
    strike: async ({ used }) => used.pause(),
    expect: most(failover),
  },
  {
    name: 'SIGSTOP of the leader, not in use',
    uses: 'follower',
    strike: async ({ leader }) => leader.pause(),
    expect: most(failover),
  },
  {
    name: 'SIGSTOP of a follower, in use',
    uses: 'follower',
    strike: async ({ used }) => used.pause(),
    expect: most(hiccup + 500),
  },
  {
    name: 'restart of the leader, in use',
    strike: ({ used }) => used.restart(),
    expect: most(failover),
  },
  {
    name: 'change of leader',
    strike: async ({ site, leader, place }) => {
      const other = site.members[(place + 1) % site.members.length] as EtcdMember;
      const { header } = await other.gateway.call<{ header: { member_id: string } }>(
        '/v3/maintenance/status',
        {},
      );
      await leader.gateway.call('/v3/maintenance/transfer-leadership', {
        targetID: header.member_id,
      });
    },
    lasts: 500,
    expect: most(hiccup),
  },
  {
    name: 'leader, in use, isolated from its peers',
    matters: true,
    strike: ({ site, place }) => site.isolate(place),
    expect: most(failover),
  },
  {
    name: 'follower, in use, isolated from its peers',
    uses: 'follower',
    strike: ({ site, place }) => site.isolate(place),
    expect: most(failover),
  },
  {
    name: 'all members down for longer than the TTL',
    matters: true,
    outage: true,
    ttl: 2_000,
    timeout: 1_000,
    lasts: 2_500,
    strike: ({ site }) => Promise.all(site.members.map((member) => member.kill())),
    expect(verb) {
      if (verb === 'session' || verb === 'mutex hold') return lost('no-contact', failover);
      if (verb === 'watch') return goesOn(failover);
      if (verb === 'mutex wait') return lost('no-contact', failover);
      return rejects(unanswered(verb), failover);
    },
  },
  {
    name: 'all members down for a moment',
    outage: true,
    ttl: 8_000,
    lasts: 100,
    strike: ({ site }) => Promise.all(site.members.map((member) => member.kill())),
    expect: (verb) => goesOn(verb === 'session' ? 4_000 : failover),
  },
];

const network: readonly Fault[] = [
  {
    name: 'TCP connections cut, and refused from then on',
    strike: async ({ proxy }) => proxy.cut(),
    expect: most(hiccup),
  },
  {
    name: 'black hole, both ways',
    matters: true,
    strike: async ({ proxy }) => proxy.blackhole(),
    expect: most(hiccup + 500),
  },
  {
    name: 'black hole, to the server',
    strike: async ({ proxy }) => proxy.blackhole('to-server'),
    expect: most(hiccup + 500),
  },
  {
    name: 'black hole, to the client',
    strike: async ({ proxy }) => proxy.blackhole('to-client'),
    expect: most(hiccup + 500),
  },
  {
    name: '200 ms more latency, of all',
    strike: async ({ site }) => {
      for (const proxy of site.proxies) proxy.delay(100);
    },
    expect: most(hiccup + 500),
  },
  {
    name: '2 s more latency, of the one in use',
    strike: async ({ proxy }) => proxy.delay(1_000),
    expect: most(hiccup + 500),
  },
  {
    name: '2 s more latency, of all',
    ttl: 20_000,
    lasts: 16_000,
    strike: async ({ site }) => {
      for (const proxy of site.proxies) proxy.delay(1_000);
    },
    expect(verb) {
      if (verb === 'read') return goesOn(5_000);
      if (verb === 'session' || verb === 'watch') return goesOn(14_000);
      // It takes more round trips than one, and some time until it is clear that these are slow.
      return { ...goesOn(10_000), mayFailWith: unanswered(verb) };
    },
  },
];

const contents: readonly Fault[] = [
  {
    name: 'compaction of what a watch has yet to hear',
    matters: true,
    lasts: 300,
    outage: true,
    strike: async ({ site, prefix }) => {
      for (const proxy of site.proxies) proxy.cut();
      for (let i = 0; i < 5; i += 1) {
        const put = { put: { key: `${prefix}put/foreign-${i}`, value: '' } };
        const { revision } = await site.admin.commit({ success: [put] });
        await site.call('/v3/kv/compaction', { revision: String(revision), physical: true });
      }
    },
    expect: most(hiccup + 500),
  },
  {
    name: 'defragmentation of the leader, in use',
    lasts: 300,
    strike: ({ used }) => used.gateway.call('/v3/maintenance/defragment', {}),
    expect: most(hiccup),
  },
  {
    name: 'NOSPACE alarm',
    outage: true,
    lasts: 1_000,
    strike: ({ site }) => alarm(site, 'ACTIVATE'),
    heal: ({ site }) => alarm(site, 'DEACTIVATE'),
    expect(verb) {
      if (verb === 'read' || verb === 'watch' || verb === 'session') return most(hiccup)(verb);
      return rejects(['ERR_REFUSED'], hiccup);
    },
  },
  {
    name: 'lease of the session revoked',
    matters: true,
    lasts: 500,
    strike: ({ site, coordinator }) => site.admin.revoke(coordinator.session.id),
    expect(verb) {
      if (verb === 'session') return lost('revoked', 2_500);
      // The member that is asked why the key went may not have heard of its lease yet.
      if (verb.startsWith('mutex')) return lost(['revoked', 'deleted'], 2_500);
      return noConcern('has no lease of the session');
    },
  },
  {
    name: 'keys of the locks deleted by hand',
    matters: true,
    lasts: 500,
    strike: ({ site }) =>
      site.admin.commit({ success: [{ delete: { key: 'mutex/', end: 'mutex0' } }] }),
    expect(verb) {
      if (verb.startsWith('mutex')) return lost('deleted', hiccup);
      if (verb === 'session') return { ...noConcern('keeps its lease'), within: renewal };
      return noConcern('has no key there');
    },
  },
];

const identity: readonly Fault[] = [
  {
    name: 'token expired at the member that is turned to',
    site: 'password',
    strike: async ({ proxy }) => {
      // A token lives for a second from its last use, at each member.
      await sleep(3_000);
      proxy.cut();
    },
    expect: most(hiccup + 500),
  },
  {
    name: 'tokens (JWT) that expire every second',
    site: 'jwt',
    lasts: 4_000,
    strike: async () => {},
    expect: most(hiccup),
  },
  {
    name: 'certificates and authority replaced',
    site: 'tls',
    strike: ({ site }) => site.rotate(),
    expect: most(failover),
  },
];

/** The members of a cluster, the network, what is in etcd, and who may use it. */
export const faults: readonly Fault[] = [...members, ...network, ...contents, ...identity];

function alarm(site: Site, action: 'ACTIVATE' | 'DEACTIVATE'): Promise<unknown> {
  return site.call('/v3/maintenance/alarm', { action, memberID: '0', alarm: 'NOSPACE' });
}
