import type { Session } from '../core/session/session.js';
import { traced } from '../core/trace.js';
import { Directory } from './directory.js';
import type { DirectoryOptions } from './directory-options.js';
import { type Layout, layoutOf, type ServiceLayout } from './layout.js';
import { Registration } from './registration.js';
import type { NewInstance, RegisterOptions } from './registration-options.js';

/** Options of a service. */
export interface ServiceOptions {
  /** How it is kept, to be shared with programs in Go. @defaultValue `'recipes'` */
  readonly layout?: ServiceLayout;
}

/** A service: instances register, and others find them. */
export class Service {
  /** The name under which processes meet. */
  readonly name: string;
  readonly #session: Session;
  readonly #layout: Layout;

  /** @throws ArgumentError if the name is empty or an option is not usable. */
  constructor(session: Session, name: string, { layout = 'recipes' }: ServiceOptions = {}) {
    this.name = name;
    this.#session = session;
    this.#layout = layoutOf(layout);
    this.#layout.folder(name);
  }

  /**
   * Registers an instance, until the registration or the session is closed; settles when it is there.
   *
   * @throws ArgumentError if something is not usable, or the layout has no room for it.
   * @throws ConflictError if the ID is somebody else's.
   * @throws WaitTimeoutError, or the reason of `options.signal`: it is taken back. RefusedError, LimitError, ClosedError.
   */
  register(instance: NewInstance, options: RegisterOptions = {}): Promise<Registration> {
    const { name } = this;
    const work = (): Promise<Registration> =>
      Registration.open(this.#session, this.#layout, name, instance, options);
    return traced('wait', () => ({ recipe: 'service', verb: 'register', name }), work);
  }

  /**
   * A live view of those that are registered. It begins at once; close it when it is not needed.
   *
   * @throws ArgumentError if an option is not usable. ClosedError after the session was closed.
   */
  directory(options: DirectoryOptions = {}): Directory {
    return new Directory(this.#session, this.#layout, this.name, options);
  }
}
