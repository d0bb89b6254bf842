import protobuf, { type Reader, type Writer } from 'protobufjs/minimal.js';

/** How one field of a message is read and written. */
export interface Field<V> {
  /** Its number in the message. */
  readonly id: number;
  /** What it is when it was not sent. */
  initial(): V;
  /** Reads one occurrence; repeated fields add to `before`. @throws Error if `wireType` is not one of its own */
  read(reader: Reader, before: V, wireType: number): V;
  /** Writes it, tag included, unless it is what it would be when not sent. */
  write(writer: Writer, value: V): void;
}

/** The fields of a message, under the names they have here. */
export type Fields<T> = { readonly [K in keyof T]-?: Field<T[K]> };

/** A message as one writes it down: whatever is left out has its initial value. */
export type Init<T> = T extends readonly (infer E)[]
  ? readonly Init<E>[]
  : T extends object
    ? { readonly [K in keyof T]?: Init<T[K]> | undefined }
    : T;

type Named<T> = readonly [name: keyof T, field: Field<unknown>];

/** Reads and writes the messages of one type in protobuf's binary form. */
export class Codec<T extends object> {
  readonly #define: () => Fields<T>;
  readonly #union: readonly (keyof T)[];
  #defined: readonly Named<T>[] | undefined;
  #byId: readonly (Named<T> | undefined)[] = [];

  /**
   * `define` is asked when the first message passes, so that messages may contain each other. Of the fields in
   * `union`, a message that was read has the one that came last.
   */
  constructor(define: () => Fields<T>, union: readonly (keyof T)[] = []) {
    this.#define = define;
    this.#union = union;
  }

  /** A message with initial values for all that is not given. */
  create(given: Partial<T> = {}): T {
    const message = {} as T;
    for (const [name, field] of this.#fields()) message[name] = field.initial() as T[keyof T];
    return Object.assign(message, given);
  }

  /** @throws Error if `bytes` is not such a message. */
  decode(bytes: Uint8Array): T {
    return this.read(protobuf.Reader.create(bytes), bytes.length);
  }

  encode(message: Init<T>): Buffer {
    const writer = protobuf.Writer.create();
    this.write(writer, message);
    return writer.finish() as Buffer;
  }

  /** Reads a message that ends at `end`. */
  read(reader: Reader, end: number): T {
    const message = this.create();
    if (end > reader.len) throw new RangeError('a message ends behind the end of the data');
    while (reader.pos < end) {
      const tag = reader.uint32();
      const known = this.#byId[tag >>> 3];
      if (known === undefined) {
        reader.skipType(tag & 7);
      } else {
        const [name, field] = known;
        if (this.#union.includes(name)) this.#clear(message);
        message[name] = field.read(reader, message[name], tag & 7) as T[keyof T];
      }
    }
    if (reader.pos !== end) throw new RangeError('a field ends behind the end of its message');
    return message;
  }

  write(writer: Writer, message: Init<T>): void {
    const values = message as { readonly [K in keyof T]?: T[K] };
    for (const [name, field] of this.#fields()) {
      const value = values[name];
      if (value !== undefined) field.write(writer, value);
    }
  }

  /** Forgets what a union is so far. */
  #clear(message: T): void {
    for (const [name, field] of this.#fields()) {
      if (this.#union.includes(name)) message[name] = field.initial() as T[keyof T];
    }
  }

  #fields(): readonly Named<T>[] {
    if (this.#defined === undefined) {
      this.#defined = Object.entries(this.#define()) as unknown as Named<T>[];
      const byId: Named<T>[] = [];
      for (const named of this.#defined) byId[named[1].id] = named;
      this.#byId = byId;
    }
    return this.#defined;
  }
}
