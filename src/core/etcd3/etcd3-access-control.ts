import type { AuthClient } from 'etcd3';
import type { AccessControl, Permission } from '../store/access-control.js';
import { toBytes } from '../store/keys.js';
import { refusalIn } from '../store/refusals.js';
import type { CallOptions } from '../store/store.js';
import type { AttemptOptions } from './endpoint.js';
import type { EndpointPool } from './pool.js';

/** As etcd counts them: by name, etcd3 would send an unknown one as `read`. */
const types: Readonly<Record<Permission['may'], number>> = { read: 0, write: 1, readwrite: 2 };
/** A user that nobody has. */
const nobody = { name: '.etcd-recipes/nobody', password: 'none' };

type AuthCall<T> = (auth: AuthClient, attempt: AttemptOptions) => Promise<T>;

/** Users and roles of a real etcd cluster. */
export class Etcd3AccessControl implements AccessControl {
  readonly #pool: EndpointPool;

  constructor(pool: EndpointPool) {
    this.#pool = pool;
  }

  /** Asked in the way that every release understands, and that needs no permission: by a login in vain. */
  async isEnabled(options?: CallOptions): Promise<boolean> {
    const refused = await this.#unless(
      /authentication (failed|is not enabled)/,
      (auth, attempt) => auth.authenticate(nobody, attempt),
      options,
    );
    return !/not enabled/.test(refused ?? '');
  }

  async hasUser(name: string, options?: CallOptions): Promise<boolean> {
    const missing = await this.#unless(
      /user name not found/,
      (auth, attempt) => auth.userGet({ name }, attempt),
      options,
    );
    return missing === undefined;
  }

  async hasRole(role: string, options?: CallOptions): Promise<boolean> {
    const missing = await this.#unless(
      /role name not found/,
      (auth, attempt) => auth.roleGet({ role }, attempt),
      options,
    );
    return missing === undefined;
  }

  async addRole(name: string, options?: CallOptions): Promise<void> {
    await this.#unless(
      /role name already exists/,
      (auth, attempt) => auth.roleAdd({ name }, attempt),
      options,
    );
  }

  async grantPermission(
    name: string,
    { key, end = '', may }: Permission,
    options?: CallOptions,
  ): Promise<void> {
    const permType = types[may] as never;
    const perm = { permType, key: toBytes(key), range_end: toBytes(end) };
    await this.#call((auth, attempt) => auth.roleGrantPermission({ name, perm }, attempt), options);
  }

  async deleteRole(role: string, options?: CallOptions): Promise<void> {
    await this.#unless(
      /role name not found/,
      (auth, attempt) => auth.roleDelete({ role }, attempt),
      options,
    );
  }

  async addUser(name: string, password: string, options?: CallOptions): Promise<void> {
    const isThere = await this.#unless(
      /user name already exists/,
      (auth, attempt) => auth.userAdd({ name, password }, attempt),
      options,
    );
    if (isThere !== undefined) await this.setPassword(name, password, options);
  }

  async setPassword(name: string, password: string, options?: CallOptions): Promise<void> {
    await this.#call(
      (auth, attempt) => auth.userChangePassword({ name, password }, attempt),
      options,
    );
  }

  async grantRole(user: string, role: string, options?: CallOptions): Promise<void> {
    await this.#call((auth, attempt) => auth.userGrantRole({ user, role }, attempt), options);
  }

  async revokeRole(name: string, role: string, options?: CallOptions): Promise<void> {
    await this.#unless(
      /role is not granted to the user|user name not found/,
      (auth, attempt) => auth.userRevokeRole({ name, role }, attempt),
      options,
    );
  }

  async deleteUser(name: string, options?: CallOptions): Promise<void> {
    await this.#unless(
      /user name not found/,
      (auth, attempt) => auth.userDelete({ name }, attempt),
      options,
    );
  }

  /** Makes a call that has its effect once, however often it is sent. */
  #call<T>(call: AuthCall<T>, options: CallOptions = {}): Promise<T> {
    return this.#pool.call('idempotent', options, (endpoint, attempt) =>
      call(endpoint.auth, attempt),
    );
  }

  /** The same, where a refusal of this kind says that nothing is left to do: gives what it says. */
  async #unless(
    refusal: RegExp,
    call: AuthCall<unknown>,
    options?: CallOptions,
  ): Promise<string | undefined> {
    try {
      await this.#call(call, options);
      return undefined;
    } catch (error) {
      const { message = '' } = refusalIn(error) ?? {};
      if (refusal.test(message)) return message;
      throw error;
    }
  }
}
