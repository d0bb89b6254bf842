import { createRequire } from 'node:module';
import type sorted from 'sorted-btree';
import type { Bytes } from '../wire/fields.js';

/** A map in the order of its keys' bytes. */
export type Tree<V> = sorted.default<Bytes, V>;

// What `import` gives of this package depends on who loads it: Node, or one of several tools for tests.
const { default: BTree, simpleComparator } = createRequire(import.meta.url)(
  'sorted-btree',
) as typeof sorted;

/** A node as the package keeps it: the largest key of each child, or the keys themselves; and how many lie below. */
interface Node {
  readonly keys: readonly Bytes[];
  readonly children?: readonly Node[];
  size(): number;
}

/** How many keys come before `key`: found on one way down, however many there are. */
export function rankOf<V>(tree: Tree<V>, key: Bytes): number {
  // The package has no question for this, but it keeps the answer.
  let node: Node | undefined = tree['_root'] as Node;
  let rank = 0;
  while (node) {
    const index = lowerBound(node.keys, key);
    if (!node.children) return rank + index;
    for (let i = 0; i < index; i += 1) rank += (node.children[i] as Node).size();
    node = node.children[index];
  }
  return rank;
}

function lowerBound(keys: readonly Bytes[], key: Bytes): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as Bytes) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** An empty one. */
export function newTree<V>(): Tree<V> {
  return new BTree<Bytes, V>(undefined, simpleComparator);
}
