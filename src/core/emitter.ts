import { EventEmitter } from 'eventemitter3';

/**
 * Typed events. They inform and never control: a listener that throws does not disturb what it listens
 * to; its error surfaces as an uncaught exception of its own, as with an `EventTarget`.
 */
export class Emitter<Events extends EventEmitter.ValidEventTypes> extends EventEmitter<Events> {
  /** There for the compiler alone: by it, a function that takes an emitter learns which events it has. */
  declare readonly eventMap?: Events;

  override emit<E extends EventEmitter.EventNames<Events>>(
    event: E,
    ...args: EventEmitter.EventArgs<Events, E>
  ): boolean {
    try {
      return super.emit(event, ...args);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
      return true;
    }
  }
}
