import type { EmbeddedEtcd } from '../../src/embed/index.js';
import type { NamesResponse } from '../../src/embed/server/wire/auth.js';
import { type AuthOperation, ROOT_PASSWORDS } from './auth-operations.js';
import { compare, Difference } from './difference.js';
import type { Template } from './operations.js';
import { Revisions } from './revisions.js';
import { type Outcome, Side } from './side.js';
import { startBoth } from './start-both.js';

/** A real etcd and the one in this process, whose users do the same and must be told the same. */
export class AuthPair {
  /** How often each thing happened: operations, errors, and messages of watches. */
  readonly counts: Map<string, number>;
  /** Requests that both were sent. */
  requests = 0;
  readonly #etcds: readonly EmbeddedEtcd[];
  readonly #sides: readonly Side[];
  readonly #revisions: Revisions = new Revisions();

  private constructor(etcds: readonly EmbeddedEtcd[], counts: Map<string, number>) {
    this.counts = counts;
    this.#etcds = etcds;
    this.#sides = etcds.map(({ endpoints: [endpoint = ''] }, index) => {
      const tell = (what: string): void => {
        if (index === 0) this.#count(`watch: ${what}`);
      };
      return new Side(endpoint, { revision: (at) => this.#revisions.at(at), tell });
    });
  }

  /** Starts both. */
  static async start(counts: Map<string, number>): Promise<AuthPair> {
    return new AuthPair(await startBoth(), counts);
  }

  /** Does the same to both. @throws Difference */
  async run(operations: readonly AuthOperation[]): Promise<void> {
    this.#revisions.begin();
    for (const [index, operation] of operations.entries()) {
      try {
        this.#count(operation.does);
        await this.#do(operation);
      } catch (error) {
        if (!(error instanceof Difference)) throw error;
        throw new Difference(`at operation ${index}: ${error.message}`);
      }
    }
    await this.#cleanUp();
  }

  async stop(): Promise<void> {
    for (const side of this.#sides) side.close();
    await Promise.all(this.#etcds.map((etcd) => etcd.stop()));
  }

  async #do(operation: AuthOperation): Promise<void> {
    const { does, as } = operation;
    if (does === 'keep alive') {
      await this.#both(does, (side) => side.keepAliveOnce(operation.id, as));
    } else if (does === 'range stream') {
      await this.#both(does, (side) => side.rangeStream(operation.request, as));
    } else if (does === 'watch') {
      await this.#both(does, (side) => watch(side, operation));
    } else {
      const { request } = operation;
      const outcome = await this.#both(does, (side) => side.call(does, request, as));
      this.#revisions.note(does, outcome, request);
    }
  }

  async #both(what: string, act: (side: Side) => Promise<Outcome>): Promise<Outcome> {
    this.requests += 1;
    const [expected, found] = await Promise.all(this.#sides.map(act));
    if (expected && 'error' in expected) this.#count(`error: ${expected.error}`);
    compare(what, expected, found);
    return expected as Outcome;
  }

  /** Leaves nobody and nothing behind. */
  async #cleanUp(): Promise<void> {
    const call = (
      does: `Auth.${'Authenticate' | 'AuthDisable' | 'UserDelete' | 'RoleDelete'}`,
      request: Template,
    ): Promise<Outcome> => this.#both(does, (side) => side.call(does, request, 'root'));
    for (const password of ROOT_PASSWORDS)
      await call('Auth.Authenticate', { name: 'root', password });
    await call('Auth.AuthDisable', {});
    for (const one of await this.#names('Auth.UserList'))
      await call('Auth.UserDelete', { name: one });
    for (const one of await this.#names('Auth.RoleList'))
      await call('Auth.RoleDelete', { name: one });
    const [expected, found] = await Promise.all(this.#sides.map((side) => side.reset()));
    compare('cleaning up', expected, found);
    for (const outcome of expected ?? []) this.#revisions.note('KV.DeleteRange', outcome);
  }

  async #names(does: 'Auth.UserList' | 'Auth.RoleList'): Promise<readonly string[]> {
    const outcome = await this.#both(does, (side) => side.call(does, {}));
    return 'reply' in outcome ? (outcome.reply as NamesResponse).names : [];
  }

  #count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}

/** Asks for a watch, and gives all that its stream has said so far. */
async function watch(
  side: Side,
  { stream, request, as }: AuthOperation & { readonly does: 'watch' },
): Promise<Outcome> {
  const log = side.stream(stream, as);
  const { replies } = log;
  log.send({ create: side.fillWatch(request) });
  const replied = await log.until(() => log.replies > replies);
  return { reply: { replied, failure: log.failure, said: side.said(stream) } };
}
