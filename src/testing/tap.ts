/** Told of each event, before the listeners are. */
export type Tap = (name: string, args: readonly unknown[]) => void;

type Emit = (name: string, ...args: unknown[]) => boolean;

interface Tapped {
  readonly taps: Set<Tap>;
  /** Ours, in place of the one of the class. */
  readonly emit: Emit;
  /** What the object itself had before; most have nothing. */
  readonly before: PropertyDescriptor | undefined;
}

const tapped = new WeakMap<object, Tapped>();

/**
 * Tells `listener` of every event of one emitter, which EventEmitter3 has no name for. The function returned ends
 * that; when nobody listens any more, the emitter is as it was.
 */
export function tap(emitter: object, listener: Tap): () => void {
  const { taps } = tapped.get(emitter) ?? install(emitter);
  taps.add(listener);
  return () => {
    if (taps.delete(listener) && taps.size === 0) remove(emitter);
  };
}

function install(emitter: object): Tapped {
  const taps = new Set<Tap>();
  const before = Object.getOwnPropertyDescriptor(emitter, 'emit');
  const original = Reflect.get(emitter, 'emit') as Emit;
  const emit: Emit = (name, ...args) => {
    for (const listener of taps) listener(name, args);
    return original.call(emitter, name, ...args);
  };
  Object.defineProperty(emitter, 'emit', { value: emit, configurable: true, writable: true });
  const entry = { taps, emit, before };
  tapped.set(emitter, entry);
  return entry;
}

function remove(emitter: object): void {
  const entry = tapped.get(emitter);
  tapped.delete(emitter);
  // Somebody may have wrapped ours meanwhile, who goes on calling it.
  if (Reflect.get(emitter, 'emit') !== entry?.emit) return;
  if (entry?.before) Object.defineProperty(emitter, 'emit', entry.before);
  else Reflect.deleteProperty(emitter, 'emit');
}
