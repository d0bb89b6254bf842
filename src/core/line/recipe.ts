import type { EventEmitter } from 'eventemitter3';
import { Emitter } from '../events/emitter.js';
import type { Session } from '../session/session.js';
import { nonEmpty } from '../validate.js';

/** What all recipes have: a session, a name, and events. Making one does no I/O. */
export abstract class Recipe<Events extends EventEmitter.ValidEventTypes> extends Emitter<Events> {
  /** The name under which processes meet. */
  readonly name: string;
  protected readonly session: Session;

  /** @throws ArgumentError if the name is empty. */
  constructor(session: Session, name: string) {
    super();
    this.name = nonEmpty('name', name);
    this.session = session;
  }
}
