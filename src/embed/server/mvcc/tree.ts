import { createRequire } from 'node:module';
import type sorted from 'sorted-btree';
import type { Bytes } from '../wire/fields.js';

/** A map in the order of its keys' bytes. */
export type Tree<V> = sorted.default<Bytes, V>;

// What `import` gives of this package depends on who loads it: Node, or one of several tools for tests.
const { default: BTree, simpleComparator } = createRequire(import.meta.url)(
  'sorted-btree',
) as typeof sorted;

/** An empty one. */
export function newTree<V>(): Tree<V> {
  return new BTree<Bytes, V>(undefined, simpleComparator);
}
