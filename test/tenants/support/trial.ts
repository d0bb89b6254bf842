import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect } from 'vitest';
import type { NamesResponse } from '../../../src/embed/server/wire/auth.js';
import type * as kv from '../../../src/embed/server/wire/kv.js';
import type { LeaseLeasesResponse } from '../../../src/embed/server/wire/lease.js';
import type { Event } from '../../../src/embed/server/wire/watch.js';
import { waitFor } from '../../../src/testing/index.js';
import type { Template } from '../../differential/operations.js';
import { type Outcome, Side } from '../../differential/side.js';
import type { WatchLog } from '../../differential/watch-log.js';
import type { Calls } from '../../support/raw-client.js';
import type { Attempt, Intruder } from './intruder.js';
import { type Leased, type Place, placeOf, type Rights } from './rights.js';

const everything = { key: '\0', rangeEnd: '\0' };
const nothing = { revision: () => 0, tell: () => {} };
/** What etcd says to who may not, and to whom it does not understand. */
const denied = /^7 /;
const malformed = /^(3|12) /;

/** How a tenant gets in. */
export interface Accused {
  readonly user: string;
  readonly password: string;
  readonly rights: Rights;
}

/**
 * An etcd that asks who its users are, and a twin that asks nobody. Both have the same at the same revisions: what a tenant may do is done
 * to both, and has to give the same; what it may not, is done to the first only, and must have changed nothing.
 */
export class Trial {
  /** How often an attempt was answered, refused, or refused as no request at all. */
  readonly counts: { answered: number; denied: number; malformed: number } = {
    answered: 0,
    denied: 0,
    malformed: 0,
  };
  readonly #real: Side;
  readonly #twin: Side;
  readonly #accused: Accused;
  readonly #intruder: Intruder;
  readonly #watches: number[] = [];
  #streams = 0;
  #users: unknown;
  /** The last things that were done, for whoever has to find out why they were not the same. */
  readonly #done: unknown[] = [];

  /** `twin` is the client URL of an etcd without anything. */
  constructor(real: string, twin: string, accused: Accused, intruder: Intruder) {
    this.#real = new Side(real, nothing);
    this.#twin = new Side(twin, nothing);
    this.#accused = accused;
    this.#intruder = intruder;
  }

  /** Logs both in, ends all leases, and has the twin do all that was ever done. */
  async begin(root: { readonly name: string; readonly password: string }): Promise<void> {
    const { user: name, password } = this.#accused;
    for (const login of [root, { name, password }]) {
      await this.#real.call('Auth.Authenticate', login);
    }
    await endLeases(this.#real, 'root');
    await this.#replay();
    this.#users = await this.#allUsers();
    await this.check();
  }

  /** Checks it all for the last time. */
  async end(): Promise<void> {
    await this.check();
    // Behind whatever watches are still to be told.
    const [[low] = ['']] = this.#accused.rights.write;
    await this.both('KV.Put', { key: `${low}end` });
    await this.check();
    expect(await this.#allUsers()).toEqual(this.#users);
  }

  /** Does something as `root`, to both. */
  async both(does: keyof Calls, request: Template): Promise<Outcome> {
    const [real, twin] = await Promise.all([
      this.#real.call(does, request, 'root'),
      this.#twin.call(does, request),
    ]);
    this.#same(['root', does, request], real, twin);
    return real;
  }

  /** Has the tenant try something. */
  async attempt(): Promise<void> {
    const attempt = this.#intruder.attempt();
    const place = placeOf(attempt, this.#accused.rights, await this.#leased(attempt));
    if (attempt.does === 'Watch.Watch') return this.#watch(attempt.request, place);
    if (place === 'inside') {
      const [real, twin] = await Promise.all([this.#try(attempt), send(this.#twin, attempt)]);
      this.counts.answered += 1;
      return this.#same(attempt, real, twin);
    }
    const outcome = await this.#try(attempt);
    if ('error' in outcome && denied.test(outcome.error)) {
      this.counts.denied += 1;
      return;
    }
    if (place === 'outside' && !('error' in outcome && malformed.test(outcome.error))) {
      this.#fail(attempt, outcome);
    }
    // Refused for what it is, it is refused everywhere.
    this.counts.malformed += 1;
    return this.#same(attempt, outcome, await send(this.#twin, attempt));
  }

  /** Checks that both have the same, keys, revisions, leases and all, and that all watches of both were told the same. */
  async check(): Promise<void> {
    const outcome = await this.both('KV.Range', everything);
    const { header } = (outcome as { reply: kv.RangeResponse }).reply;
    this.#intruder.revision = header?.revision ?? 0;
    await this.both('Lease.LeaseLeases', {});
    for (const number of this.#watches) await this.#checkWatch(number);
  }

  /** Forgets history up to a revision: that of a single put. Watches end before, as nobody can tell how far behind they are. */
  async compact(revision: number): Promise<void> {
    while (this.#watches.length > 0) await this.#endWatch();
    await this.both('KV.Compact', { revision, physical: true });
    this.#intruder.compacted = revision;
  }

  close(): void {
    this.#real.close();
    this.#twin.close();
  }

  #try({ does, request }: Attempt): Promise<Outcome> {
    return send(this.#real, { does, request }, this.#accused.user);
  }

  async #watch(request: Template, place: Place): Promise<void> {
    const [number, attempt] = [this.#streams, { does: 'Watch.Watch', request } as const];
    this.#streams += 1;
    const real = await this.#open(this.#real, number, request, this.#accused.user);
    if (isDenied(real)) {
      if (place === 'inside') this.#fail(attempt, real.said);
      this.counts.denied += 1;
    } else {
      if (place === 'outside') this.#fail(attempt, real.said);
      this.counts.answered += 1;
      await this.#open(this.#twin, number, request);
    }
    this.#tell(attempt);
    // One that was refused may be told something nonetheless.
    this.#watches.push(number);
    if (this.#watches.length <= 8) return;
    await this.#endWatch();
  }

  async #endWatch(): Promise<void> {
    const [oldest = 0] = this.#watches.splice(0, 1);
    await this.#checkWatch(oldest);
    for (const side of [this.#real, this.#twin]) side.end(oldest);
  }

  async #open(side: Side, number: number, create: Template, as?: string): Promise<WatchLog> {
    const log = side.stream(number, as);
    log.send({ create });
    if (!(await log.until(() => log.replies > 0))) this.#fail(create, log.failure);
    return log;
  }

  async #checkWatch(number: number): Promise<void> {
    const log = this.#real.stream(number);
    if (isDenied(log)) {
      expect(log.events).toBe(0);
      return;
    }
    const [real, twin] = [this.#real, this.#twin];
    const told = (side: Side): unknown => [side.said(number), side.stream(number).failure];
    await waitFor(() => isDeepStrictEqual(told(real), told(twin)), {
      timeout: 60_000,
    }).catch(() => {});
    this.#same(['watch', number], told(real), told(twin));
    const strays = ([...log.said.values()].flat() as Event[]).filter(
      ({ kv: { key } = { key: undefined } }) =>
        key !== undefined &&
        !this.#accused.rights.read.some(([low, high]) => low <= key && key < high),
    );
    expect(strays).toEqual([]);
  }

  /** Which keys hang on leases, as far as an attempt may have to do with that. */
  async #leased({ does }: Attempt): Promise<Leased> {
    const leased = new Map<bigint, string[]>();
    if (!/^(Lease|KV\.(Put|Txn))/.test(does)) return leased;
    const { kvs } = await this.#twin.client.call('KV.Range', everything);
    for (const { key, lease } of kvs) {
      if (lease !== 0n) leased.set(lease, [...(leased.get(lease) ?? []), key]);
    }
    return leased;
  }

  /** Has the twin do what was done, revision by revision. */
  async #replay(): Promise<void> {
    const { client } = this.#twin;
    const revision = await this.#revision();
    const log = await this.#open(
      this.#real,
      this.#streams,
      { ...everything, startRevision: 1 },
      'root',
    );
    const events = (): Event[] =>
      [...log.said.values()].flat().filter((said) => Object(said).kv) as Event[];
    await waitFor(() => (events().at(-1)?.kv?.modRevision ?? 1) >= revision);
    const byRevision = new Map<number, Event[]>();
    for (const event of events()) {
      const at = event.kv?.modRevision ?? 0;
      byRevision.set(at, [...(byRevision.get(at) ?? []), event]);
    }
    for (const changes of byRevision.values()) {
      const success = changes.map(({ type, kv: pair }) => {
        const { key = '', value = '', lease = 0n } = pair ?? {};
        return type === 0 ? { put: { key, value, lease } } : { deleteRange: { key } };
      });
      for (const { put } of success) {
        // One that is there stays.
        if (put?.lease) await this.#twin.call('Lease.LeaseGrant', { id: put.lease, ttl: 600 });
      }
      await client.call('KV.Txn', { success });
    }
    await endLeases(this.#twin);
    this.#real.end(this.#streams);
    this.#streams += 1;
  }

  async #revision(): Promise<number> {
    const outcome = await this.#real.call('KV.Range', { key: '\0' }, 'root');
    return (outcome as { reply: kv.RangeResponse }).reply.header?.revision ?? 0;
  }

  /** All users and roles, and what they may do. */
  async #allUsers(): Promise<unknown> {
    const ask = (does: keyof Calls, request: Template = {}): Promise<Outcome> =>
      this.#real.call(does, request, 'root');
    const [users, roles] = [await ask('Auth.UserList'), await ask('Auth.RoleList')];
    const all: unknown[] = [users, roles];
    for (const name of namesIn(users)) all.push(await ask('Auth.UserGet', { name }));
    for (const name of namesIn(roles)) all.push(await ask('Auth.RoleGet', { name }));
    return all.map((outcome) => Object.assign((outcome as { reply: object }).reply, { header: 0 }));
  }

  #same(what: unknown, real: unknown, twin: unknown): void {
    this.#tell(what);
    const [one, other] = [inOrder(real), inOrder(twin)];
    if (!isDeepStrictEqual(one, other)) expect(this.#story(one)).toBe(this.#story(other));
  }

  #fail(what: unknown, outcome: unknown): never {
    this.#tell(what);
    throw new Error(this.#story(outcome));
  }

  #tell(what: unknown): void {
    this.#done.push(what);
    if (this.#done.length > 10) this.#done.shift();
  }

  #story(outcome: unknown): string {
    return [...this.#done, outcome]
      .map((each) =>
        fc.stringify(each).replaceAll(/(.)\1{20,}/gs, (run) => `${run[0]}*${run.length}`),
      )
      .join('\n');
  }
}

function send(side: Side, { does, request }: Attempt, as?: string): Promise<Outcome> {
  if (does === 'range stream') return side.rangeStream(request, as);
  if (does === 'Lease.LeaseKeepAlive') return side.keepAliveOnce(request['id'], as);
  return side.call(does as keyof Calls, request, as);
}

async function endLeases(side: Side, as?: string): Promise<void> {
  const outcome = await side.call('Lease.LeaseLeases', {}, as);
  const { leases } = (outcome as { reply: LeaseLeasesResponse }).reply;
  for (const { id } of leases) await side.call('Lease.LeaseRevoke', { id }, as);
}

function namesIn(outcome: Outcome): readonly string[] {
  return (outcome as { reply: NamesResponse }).reply.names;
}

function isDenied({ said }: WatchLog): boolean {
  return [...said.values()]
    .flat()
    .some((each) => /permission denied/.test(String(Object(each).cancelReason)));
}

/** Of leases it does not matter which one ends first. */
function inOrder(outcome: unknown): unknown {
  const { reply } = Object(outcome) as { reply?: { leases?: { id: bigint }[] } };
  if (!reply?.leases) return outcome;
  return { reply: { ...reply, leases: reply.leases.toSorted((a, b) => (a.id < b.id ? -1 : 1)) } };
}
