import type { Codec } from '../core/codec.js';
import { ArgumentError } from '../core/store/errors.js';
import { folderOf, toBytes } from '../core/store/keys.js';
import { nonEmpty } from '../core/validate.js';
import {
  checkFields,
  type InstanceFields,
  isRecord,
  type ServiceInstance,
} from './service-instance.js';

/**
 * How a service is kept:
 * - `recipes`: a folder of its own, and JSON with all that an instance is known by;
 * - `go`: `<name>/`, shared with etcd's own Go resolver (`naming/endpoints`): address and metadata;
 * - `go-kit`: `<name>/`, shared with go-kit's `sd/etcdv3`: the address alone.
 */
export type ServiceLayout = 'recipes' | 'go' | 'go-kit';

/** Gives the instance that a value stands for, by the ID that its key has. */
export type Reader = (id: string) => ServiceInstance;

/** What becomes of instances in etcd. */
export interface Layout {
  /** Where those of a service are. @throws ArgumentError if the name is empty. */
  folder(name: string): string;
  /** What there is room for besides the address. */
  readonly room: readonly (keyof InstanceFields)[];
  /** One for all who read this layout, so that they share what they read. */
  readonly codec: Codec<Reader>;
  write(fields: InstanceFields): string;
}

const layouts: Readonly<Record<ServiceLayout, Layout>> = {
  recipes: layout(
    ['tags', 'zone', 'version', 'weight', 'metadata', 'state'],
    ({ state, ...fields }) => JSON.stringify(state === 'up' ? fields : { ...fields, state }),
    (text) => ({ state: 'up', ...objectIn(text) }),
    (name) => folderOf('service', name),
  ),
  go: layout(
    ['metadata'],
    ({ address, metadata = null }) => JSON.stringify({ Op: 0, Addr: address, Metadata: metadata }),
    (text) => {
      const { Addr, Metadata } = objectIn(text) as { Addr?: unknown; Metadata?: unknown };
      const metadata = isRecord(Metadata) ? Metadata : { value: Metadata };
      return { address: Addr, state: 'up', ...((Metadata ?? null) !== null && { metadata }) };
    },
  ),
  'go-kit': layout(
    [],
    ({ address }) => address,
    (text) => ({ address: text, state: 'up' }),
  ),
};

/** The layout of this name. @throws ArgumentError if there is none. */
export function layoutOf(name: ServiceLayout): Layout {
  if (Object.hasOwn(layouts, name)) return layouts[name];
  throw new ArgumentError('layout', `one of ${Object.keys(layouts).join(', ')}`, name);
}

function layout(
  room: Layout['room'],
  write: Layout['write'],
  read: (text: string) => object,
  folder = (name: string): string => `${nonEmpty('name', name)}/`,
): Layout {
  const codec: Codec<Reader> = {
    encode: (reader) => write(reader('')),
    decode: (bytes) => {
      const fields = checkFields(read(toBytes(bytes).toString()) as InstanceFields);
      // Under one key it has one ID: all who look at it share what is made for the first.
      let instance: ServiceInstance | undefined;
      return (id) => (instance ??= { id, ...fields });
    },
  };
  return { folder, room, codec, write };
}

function objectIn(text: string): object {
  const value: unknown = JSON.parse(text);
  if (isRecord(value)) return value;
  throw new ArgumentError('the value', 'an object', value);
}
