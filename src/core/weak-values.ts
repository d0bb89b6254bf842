/** One of each name, for as long as somebody else has it: nothing is left of those that nobody has any more. */
export class WeakValues<Name, Value extends object> {
  readonly #references = new Map<Name, WeakRef<Value>>();
  readonly #registry = new FinalizationRegistry<() => void>((forget) => forget());

  /** The one of this name; where nobody has one, what `make` makes. */
  at(name: Name, make: () => Value): Value {
    const found = this.#references.get(name)?.deref();
    if (found) return found;
    const made = make();
    const reference = new WeakRef(made);
    this.#references.set(name, reference);
    this.#registry.register(made, () => {
      if (this.#references.get(name) === reference) this.#references.delete(name);
    });
    return made;
  }

  /** Those that somebody has. */
  *[Symbol.iterator](): Generator<Value, void> {
    for (const reference of this.#references.values()) {
      const value = reference.deref();
      if (value) yield value;
    }
  }
}
