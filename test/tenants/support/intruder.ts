import { keyId } from '../../../src/core/store/keys.js';
import { toRange, toTxn } from '../../../src/embed/server/direct/requests.js';
import type { KeyRange } from '../../../src/index.js';
import { mayRevive, withoutKept } from '../../differential/lethal.js';
import type { Template } from '../../differential/operations.js';
import { type At, bytes, Hostile } from '../../namespace/support/hostile.js';
import type { Calls } from '../../support/raw-client.js';

/** One thing that a tenant tries, as it is on the wire. */
export interface Attempt {
  readonly does: keyof Calls | 'range stream' | 'Lease.LeaseKeepAlive' | 'Watch.Watch';
  readonly request: Template;
}

/** What nobody but `root` may call, whatever is in the request. */
export function forbidden(user: string): readonly Attempt[] {
  const who = { user, role: user, name: user };
  const permission = { type: 2, key: '\0', rangeEnd: '\0' };
  const all: { readonly [Name in keyof Calls]?: readonly Template[] } = {
    'KV.Compact': [{ revision: 1 }, { revision: 1_000_000, physical: true }],
    'Maintenance.Alarm': [
      { action: 1, memberId: 0n, alarm: 1 },
      { action: 2, memberId: 0n, alarm: 1 },
    ],
    'Auth.AuthDisable': [{}],
    'Auth.AuthEnable': [{}],
    'Auth.UserAdd': [
      { name: 'other', password: 'x' },
      { name: user, password: 'x' },
    ],
    'Auth.UserGet': [{ name: 'root' }, { name: 'tenant-b' }, { name: 'nobody' }],
    'Auth.UserList': [{}],
    'Auth.UserDelete': [{ name: 'root' }, who],
    'Auth.UserChangePassword': [
      { name: 'root', password: 'x' },
      { name: user, password: 'x' },
    ],
    'Auth.UserGrantRole': [
      { ...who, role: 'root' },
      { ...who, role: 'tenant-b' },
    ],
    'Auth.UserRevokeRole': [who],
    'Auth.RoleAdd': [{ name: 'other' }],
    'Auth.RoleGet': [{ name: 'root' }, { name: 'tenant-b' }, { name: 'nobody' }],
    'Auth.RoleList': [{}],
    'Auth.RoleDelete': [who],
    'Auth.RoleGrantPermission': [{ role: user, permission }],
    'Auth.RoleRevokePermission': [{ role: user, key: 'tenants/a/', rangeEnd: 'tenants/a0' }],
  };
  return Object.entries(all).flatMap(([does, requests]) =>
    requests.map((request) => ({ does: does as keyof Calls, request })),
  );
}

/** What there is to be tried. */
export interface Ground {
  /** Keys of others, and of the tenant. */
  readonly walls: readonly string[];
  readonly inner: readonly string[];
  /** Those that the tenant may well use, and all. */
  readonly ours: readonly bigint[];
  readonly leases: readonly bigint[];
  readonly user: string;
  /** Whether etcd is of a release with known gaps, which are left alone. */
  readonly hasGaps: boolean;
}

/** Random requests of a tenant that means ill: half of them with keys of its own only. */
export class Intruder {
  readonly #ground: Ground;
  readonly #forbidden: readonly Attempt[];
  readonly #wild: Hostile;
  readonly #tame: Hostile;
  /** History is there after this revision, up to that one. */
  compacted = 0;
  revision = 0;

  constructor(random: () => number, ground: Ground) {
    const { walls, inner, leases, ours, hasGaps, user } = ground;
    this.#ground = ground;
    this.#forbidden = forbidden(user);
    const keys = [...walls, ...inner].map(bytes);
    this.#wild = new Hostile(random, keys, hasGaps ? ours : leases);
    this.#tame = new Hostile(random, inner.map(bytes), hasGaps ? ours : leases);
  }

  attempt(): Attempt {
    const hostile = this.#wild.chance(0.5) ? this.#wild : this.#tame;
    hostile.writes = this.revision - this.compacted;
    const kind = hostile.below(100);
    if (kind < 22) return { does: 'KV.Range', request: this.#range(hostile) };
    if (kind < 54) return this.#txn(hostile);
    if (kind < 66) return { does: 'KV.Put', request: this.#put(hostile) };
    if (kind < 74) return { does: 'KV.DeleteRange', request: this.#deletion(hostile) };
    if (kind < 79) return this.#watch(hostile);
    if (kind < 94) return this.#lease(hostile);
    if (this.#ground.hasGaps) return { does: 'KV.Range', request: this.#range(hostile) };
    if (kind < 97) return hostile.oneOf(this.#forbidden);
    return { does: 'range stream', request: { ...this.#range(hostile), sortTarget: 0 } };
  }

  #range(hostile: Hostile): Template {
    const serializable = hostile.chance(0.2);
    return { ...toRange(this.#settled(hostile.range()) as never), serializable };
  }

  #txn(hostile: Hostile): Attempt {
    const { hasGaps } = this.#ground;
    const txn = this.#settled(hostile.txn(hasGaps ? 0 : 2));
    const request = withoutKept(this.#settled(toTxn(txn as never)) as Template);
    // Whatever etcd dies of is not what is asked here.
    if (mayRevive(request)) return { does: 'KV.Range', request: this.#range(hostile) };
    return { does: 'KV.Txn', request: hasGaps ? withoutPrevious(request) : request };
  }

  #put(hostile: Hostile): Template {
    const kept = hostile.oneOf([{}, {}, {}, { ignoreValue: true }, { ignoreLease: true }]);
    return {
      key: keyId(hostile.key()),
      ...(!('ignoreValue' in kept) && { value: keyId(hostile.value()) }),
      ...(!('ignoreLease' in kept) &&
        hostile.chance(0.4) && { lease: hostile.oneOf(this.#ground.leases) }),
      prevKv: hostile.chance(0.3),
      ...kept,
    };
  }

  #deletion(hostile: Hostile): Template {
    const keys = hostile.chance(0.7) ? { key: hostile.key() } : hostile.keys();
    return { ...keysOf(keys), prevKv: hostile.chance(0.3) };
  }

  #watch(hostile: Hostile): Attempt {
    const { previous, only, from } = this.#settled(hostile.watchOptions()) as {
      previous: boolean;
      only?: string;
      from?: bigint;
    };
    const { key, rangeEnd } = keysOf(hostile.keys());
    return {
      does: 'Watch.Watch',
      request: {
        key,
        // Releases with gaps let who may read a key watch all from it on.
        rangeEnd: this.#ground.hasGaps && rangeEnd === '\0' ? '' : rangeEnd,
        prevKv: previous,
        fragment: hostile.chance(0.2),
        startRevision: Number(from ?? 0),
        filters: only === undefined ? [] : [only === 'put' ? 1 : 0],
      },
    };
  }

  #lease(hostile: Hostile): Attempt {
    const id = hostile.oneOf(this.#ground.leases);
    const calls = [
      ...(['Lease.LeaseGrant', 'Lease.LeaseGrant', 'Lease.LeaseRevoke'] as const),
      ...(this.#ground.hasGaps
        ? []
        : (['Lease.LeaseTimeToLive', 'Lease.LeaseLeases', 'Lease.LeaseKeepAlive'] as const)),
    ];
    const does = hostile.oneOf(calls);
    const more = {
      'Lease.LeaseGrant': { id, ttl: 600_000 },
      'Lease.LeaseTimeToLive': { id, keys: hostile.chance(0.7) },
      'Lease.LeaseLeases': {},
    };
    return { does, request: does in more ? more[does as keyof typeof more] : { id } };
  }

  /** A request in which revisions are put in, and nothing is undefined. */
  #settled(open: unknown): unknown {
    if (Array.isArray(open)) return open.map((each) => this.#settled(each));
    if (typeof open !== 'object' || open === null || open instanceof Uint8Array) return open;
    const { write } = open as Partial<At>;
    if (write !== undefined) return write === 0 ? 0n : BigInt(this.compacted + write);
    const parts = Object.entries(open).filter(([, part]) => part !== undefined);
    return Object.fromEntries(parts.map(([name, part]) => [name, this.#settled(part)]));
  }
}

function keysOf({ key, end }: KeyRange): { readonly key: string; readonly rangeEnd: string } {
  return { key: keyId(key), rangeEnd: end === undefined ? '' : keyId(end) };
}

function withoutPrevious(request: Template): Template {
  const without = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(without);
    if (typeof part !== 'object' || part === null) return part;
    return Object.fromEntries(
      Object.entries(part).map(([name, inner]) => [
        name,
        name === 'prevKv' ? false : without(inner),
      ]),
    );
  };
  return without(request) as Template;
}
