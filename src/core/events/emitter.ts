import { EventEmitter } from 'eventemitter3';
import { type Notes, tell } from '../trace.js';

/** Whose events they are. */
export type Observed = Pick<Notes['event'], 'recipe' | 'name'>;

/**
 * Typed events. They inform and never control: a listener that throws disturbs neither what it listens
 * to nor other listeners; its error surfaces as an uncaught exception of its own, as with an `EventTarget`.
 * Listeners are called with the emitter as `this`.
 */
export class Emitter<Events extends EventEmitter.ValidEventTypes> extends EventEmitter<Events> {
  /** There for the compiler alone: by it, a function that takes an emitter learns which events it has. */
  declare readonly eventMap?: Events;

  /** As whose events who observes the recipe is told of all of these, too. @defaultValue nobody is */
  protected get observedAs(): Observed | undefined {
    return undefined;
  }

  override emit<E extends EventEmitter.EventNames<Events>>(
    event: E,
    ...args: EventEmitter.EventArgs<Events, E>
  ): boolean {
    const { observedAs } = this;
    if (observedAs) tell('event', () => ({ ...observedAs, event: String(event), args }));
    const listeners = this.listeners(event);
    for (const listener of listeners) {
      // If it is there for one time.
      this.removeListener(event, listener, undefined, true);
      try {
        Reflect.apply(listener, this, args);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
    return listeners.length > 0;
  }
}
