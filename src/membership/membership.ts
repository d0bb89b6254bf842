import { Emitter, type Observed } from '../core/events/emitter.js';
import type { Session } from '../core/session/session.js';
import { StandingKey } from '../core/session/standing-key.js';
import { HoldLostError, type LossReason } from '../core/store/errors.js';
import { checkedController, onAbort, type WaitOptions, waitScope } from '../core/time/signals.js';
import { type Traces, traced } from '../core/trace.js';
import { KeyClaim } from '../namespace/key-claim.js';
import { keyOfMember, memberValue } from './member.js';

/** What happens to a membership. */
export interface MembershipEvents {
  /** We are in the group again, under the same ID. The token is another, unless our key from before the loss was still there. */
  joined: (event: { readonly id: string; readonly token: bigint }) => void;
  /** Another has our ID. We are a member when that has gone. */
  waiting: (event: { readonly id: string }) => void;
  /** We are no member, as far as others know: it joins again by itself. */
  lost: (event: {
    readonly id: string;
    readonly token: bigint;
    readonly reason: LossReason;
  }) => void;
  /** etcd refuses it; it is tried again. */
  error: (error: unknown) => void;
}

/** Which group, as traces name it; the folder of its members, and who of them we are. */
export type MembershipSpec = Pick<Traces['wait'], 'recipe' | 'name'> & {
  readonly folder: string;
  readonly id: string;
  /** As the event `waiting`, also before we have joined. */
  readonly onWaiting?: () => void;
};

/** That we are in a group, until `leave`: whatever becomes of the session or of the key meanwhile, it joins again. */
export class Membership<T> extends Emitter<MembershipEvents> implements AsyncDisposable {
  /** What tells us from the others. */
  readonly id: string;
  readonly #session: Session;
  readonly #group: string;
  readonly #key: StandingKey;
  readonly #claim: KeyClaim;
  /** While we are a member. */
  #presence: { readonly token: bigint; readonly controller: AbortController } | undefined;

  private constructor(session: Session, group: string, id: string, claim: KeyClaim) {
    super();
    this.id = id;
    this.#session = session;
    this.#group = group;
    this.#claim = claim;
    this.#key = new StandingKey(session, claim.key, {
      waits: true,
      reverts: true,
      stands: () => this.#joined(),
      lost: (reason) => this.#lost(reason),
      taken: () => {
        this.#lost('deleted');
        this.emit('waiting', { id });
      },
      failed: (error) => this.emit('error', error),
    });
    onAbort(this.#key.closing, () => this.#end('closed'));
  }

  /** @internal Use `Group.join`. */
  static async join<T>(
    session: Session,
    { recipe, name, folder, id, onWaiting = () => {} }: MembershipSpec,
    payload: T,
    wait: WaitOptions,
  ): Promise<Membership<T>> {
    const key = keyOfMember(folder, id);
    const value = memberValue(session.owner, payload);
    const attempt = async (): Promise<Membership<T>> => {
      const scope = waitScope(wait, session.closing, session.clock, `${recipe} ${name}`);
      const { signal } = scope;
      let membership: Membership<T> | undefined;
      try {
        const make = (claim: KeyClaim): Membership<T> => new Membership(session, name, id, claim);
        membership = await KeyClaim.take(session, key, signal, make, onWaiting);
        membership.on('waiting', onWaiting);
        await membership.#key.want(value, { signal });
        return membership;
      } catch (error) {
        membership?.leave().catch(() => {});
        throw error;
      } finally {
        scope.dispose();
      }
    };
    return traced('wait', () => ({ recipe, verb: 'join', name }), attempt);
  }

  /**
   * The revision at which we joined; `undefined` while we are no member. Looking at it checks the lease: who was stopped for longer
   * learns of that here.
   */
  get token(): bigint | undefined {
    return this.#key.token;
  }

  /** Aborts when we are no member any more, even if only until we have joined again: then there is another signal. */
  get signal(): AbortSignal {
    const isMember = this.token !== undefined;
    return isMember && this.#presence ? this.#presence.controller.signal : AbortSignal.abort();
  }

  /**
   * Changes what others see of us, as of now if we are a member, or as soon as we are again. Of several that come at once, the last.
   *
   * @throws ArgumentError if JSON cannot carry it.
   * @throws RefusedError or LimitError if etcd does not take it: then nothing changes.
   * @throws WaitTimeoutError, or the reason of `wait.signal`: it may still be written.
   * @throws ClosedError after `leave`, or if the session is closed.
   */
  async update(payload: T, wait?: WaitOptions): Promise<void> {
    await this.#key.want(memberValue(this.#session.owner, payload), wait);
  }

  /**
   * Leaves for good. Goes on through outages until that is done, or the session has ended.
   *
   * @throws RefusedError if etcd refuses it: then we go with the session.
   */
  leave(): Promise<void> {
    return this.#claim.endWith(this.#key.close());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }

  protected override get observedAs(): Observed {
    return { recipe: 'group', name: this.#group };
  }

  #joined(): void {
    const { id, token = 0n } = this;
    this.#presence = { token, controller: checkedController(() => void this.token) };
    this.emit('joined', { id, token });
  }

  #lost(reason: LossReason): void {
    const token = this.#end(reason);
    if (token !== undefined) this.emit('lost', { id: this.id, token, reason });
  }

  /** Gives the token under which we were a member until now. */
  #end(reason: LossReason): bigint | undefined {
    const presence = this.#presence;
    this.#presence = undefined;
    presence?.controller.abort(new HoldLostError(this.#key.key, reason));
    return presence?.token;
  }
}
