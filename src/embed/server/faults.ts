import { status } from '@grpc/grpc-js';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { ArgumentError } from '../../core/store/errors.js';
import type { Clock } from '../../core/time/clock.js';
import { onAbort } from '../../core/time/signals.js';
import { milliseconds } from '../../core/validate.js';
import { integer } from '../validate.js';
import { EtcdError } from './errors.js';

/** The calls that can be made to fail; the last two are streams, where each message of the client counts. */
const RPC_NAMES = [
  'KV.Range',
  'KV.RangeStream',
  'KV.Put',
  'KV.DeleteRange',
  'KV.Txn',
  'KV.Compact',
  'Lease.LeaseGrant',
  'Lease.LeaseRevoke',
  'Lease.LeaseTimeToLive',
  'Lease.LeaseLeases',
  'Cluster.MemberList',
  'Maintenance.Status',
  'Maintenance.Alarm',
  'Health.Check',
  'Auth.AuthEnable',
  'Auth.AuthDisable',
  'Auth.AuthStatus',
  'Auth.Authenticate',
  'Auth.UserAdd',
  'Auth.UserGet',
  'Auth.UserList',
  'Auth.UserDelete',
  'Auth.UserChangePassword',
  'Auth.UserGrantRole',
  'Auth.UserRevokeRole',
  'Auth.RoleAdd',
  'Auth.RoleGet',
  'Auth.RoleList',
  'Auth.RoleDelete',
  'Auth.RoleGrantPermission',
  'Auth.RoleRevokePermission',
  'Lease.LeaseKeepAlive',
  'Watch.Watch',
] as const;

/** One of etcd's calls. */
export type RpcName = (typeof RPC_NAMES)[number];

/** gRPC's name for an error, such as `UNAVAILABLE`. */
export type StatusName = keyof typeof status;

/** What goes wrong with a call. */
export interface Fault {
  /** Which calls; `'*'` for all. */
  readonly rpc: RpcName | '*' | readonly RpcName[];
  /**
   * - `drop-request`: the connection breaks before etcd sees the request: no effect, and `UNAVAILABLE`;
   * - `drop-reply`: it breaks when etcd is done: the request took effect, and the client cannot know;
   * - `delay`: the request arrives `delay` milliseconds late, or when the fault is removed; one that was given up
   *   meanwhile has no effect;
   * - `error`: etcd refuses with `code` and `message`, without effect;
   * - `hang`: the request has no effect and no answer; on a stream, that message and those after it. When the fault
   *   is removed, the connection breaks.
   */
  readonly kind: 'drop-request' | 'drop-reply' | 'delay' | 'error' | 'hang';
  /** How often. @defaultValue until it is removed */
  readonly times?: number;
  /** How likely it is for each call, from 0 to 1. @defaultValue 1 */
  readonly probability?: number;
  /** With the same seed, the same calls of a sequence fail. @defaultValue 1 */
  readonly seed?: number;
  /** Milliseconds of the server's clock, for `delay`. @defaultValue 100 */
  readonly delay?: number;
  /** For `error`. @defaultValue `'UNAVAILABLE'` */
  readonly code?: StatusName;
  /** For `error`. @defaultValue `'etcdserver: injected fault'` */
  readonly message?: string;
}

/** A fault that was added. */
export interface ActiveFault {
  /** How many calls it has made fail. */
  readonly hits: number;
  /** Ends it: connections of calls that hang break, and what is delayed arrives. */
  remove(): void;
}

/** The faults of a server. Of several that concern a call, the one that was added first strikes. */
export class Faults {
  readonly #clock: Clock;
  readonly #active = new Set<Rule>();
  /** Those that hold up calls, also when they strike no more. */
  readonly #holding = new Set<Rule>();

  /** @internal */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether calls go straight through. @internal */
  get none(): boolean {
    return this.#active.size === 0;
  }

  /** Makes calls fail from now on. @throws ArgumentError naming the option that is not usable */
  add(fault: Fault): ActiveFault {
    checkFault(fault);
    const rule = new Rule(fault, () => this.#remove(rule));
    this.#active.add(rule);
    return rule;
  }

  /** Ends all faults, as `remove` does. */
  clear(): void {
    for (const rule of [...this.#active, ...this.#holding]) this.#remove(rule);
  }

  /**
   * Lets a call through, or does to it what is to be done.
   *
   * @param gone - aborts when nobody waits for the call any more
   * @internal
   */
  async run<T>(rpc: RpcName, act: () => T, gone?: AbortSignal): Promise<T> {
    const rule = [...this.#active].find((one) => one.strikes(rpc));
    if (!rule) return act();
    if (rule.isSpent) this.#active.delete(rule);
    const { kind, delay = 100, code = 'UNAVAILABLE', message } = rule.fault;
    switch (kind) {
      case 'drop-request':
        throw broken();
      case 'drop-reply':
        attempt(act);
        throw broken();
      case 'delay':
        await this.#hold(rule, gone, delay);
        return act();
      case 'error':
        throw new EtcdError(status[code], message ?? 'etcdserver: injected fault');
      default:
        await this.#hold(rule, gone);
        throw broken();
    }
  }

  /** Waits until the fault is removed, the caller is gone, or `ms` have passed. */
  #hold(rule: Rule, gone: AbortSignal | undefined, ms?: number): Promise<void> {
    return new Promise((resolve) => {
      const undo: (() => void)[] = [];
      const letGo = (): void => {
        for (const step of undo) step();
        resolve();
      };
      rule.held.add(letGo);
      this.#holding.add(rule);
      undo.push(() => {
        rule.held.delete(letGo);
        if (rule.held.size === 0) this.#holding.delete(rule);
      });
      if (ms !== undefined) undo.push(this.#clock.after(ms, letGo));
      undo.push(onAbort(gone, letGo));
    });
  }

  #remove(rule: Rule): void {
    this.#active.delete(rule);
    for (const letGo of rule.held) letGo();
  }
}

const broken = (): EtcdError =>
  new EtcdError(status.UNAVAILABLE, 'connection dropped by an injected fault');

/** What comes of it is lost, a refusal too. */
function attempt(act: () => unknown): void {
  try {
    act();
  } catch {
    // Nobody is told.
  }
}

class Rule implements ActiveFault {
  readonly fault: Fault;
  hits = 0;
  /** Lets calls go that it holds up. */
  readonly held = new Set<() => void>();
  readonly remove: () => void;
  readonly #random: () => number;

  constructor(fault: Fault, remove: () => void) {
    this.fault = fault;
    this.remove = remove;
    const generator = xoroshiro128plus(fault.seed ?? 1);
    this.#random = () => uniformFloat64(generator);
  }

  get isSpent(): boolean {
    return this.hits >= (this.fault.times ?? Number.POSITIVE_INFINITY);
  }

  strikes(call: RpcName): boolean {
    const { rpc, probability = 1 } = this.fault;
    const names: readonly string[] = typeof rpc === 'string' ? [rpc] : rpc;
    const concerned = names.includes('*') || names.includes(call);
    if (!concerned || this.#random() >= probability) return false;
    this.hits += 1;
    return true;
  }
}

const kinds: readonly string[] = ['drop-request', 'drop-reply', 'delay', 'error', 'hang'];

function checkFault({ rpc, kind, times, probability, seed, delay, code, message }: Fault): void {
  const names: readonly string[] = [...RPC_NAMES, '*'];
  const given = typeof rpc === 'string' ? [rpc] : rpc;
  if (!Array.isArray(given) || given.length === 0 || !given.every((name) => names.includes(name))) {
    throw new ArgumentError('rpc', `one or some of ${names.join(', ')}`, rpc);
  }
  if (!kinds.includes(kind)) throw new ArgumentError('kind', `one of ${kinds.join(', ')}`, kind);
  integer('times', times, 1);
  if (probability !== undefined && !(probability >= 0 && probability <= 1)) {
    throw new ArgumentError('probability', 'a number from 0 to 1', probability);
  }
  integer('seed', seed);
  milliseconds('delay', delay ?? 0);
  // The enumeration has the numbers as keys too.
  if (code !== undefined && (typeof status[code] !== 'number' || code === 'OK')) {
    throw new ArgumentError('code', "the name of one of gRPC's errors", code);
  }
  if (message !== undefined && typeof message !== 'string') {
    throw new ArgumentError('message', 'a text', message);
  }
}
