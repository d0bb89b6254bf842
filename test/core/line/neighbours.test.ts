import { expect, it } from 'vitest';
import { Neighbours } from '../../../src/core/line/neighbours.js';
import { View } from '../../../src/core/line/view.js';
import type { Store } from '../../../src/index.js';

const range = { key: 'r/', end: 'x0' };
const { signal } = new AbortController();
const newNeighbours = (): Neighbours => new Neighbours({} as Store, range);

function viewOf(revision: bigint, ahead: readonly string[], complete = true): View {
  const [id] = ahead;
  return new View({
    revision,
    ahead: new Map(ahead.map((key) => [key, 1])),
    nearest: id === undefined ? undefined : { id, token: 4n },
    complete,
    capacity: 1,
  });
}

it('keeps whoever has several keys in a line before us with all of them', async () => {
  const neighbours = newNeighbours();
  neighbours.tell('w/b', { token: 4n, view: viewOf(5n, ['w/a']) });
  const completed = await neighbours.complete(viewOf(9n, ['w/b', 'r/b', 'w/a'], false), 0n, signal);
  expect(completed?.complete).toBe(true);
  completed?.leave('w/a');
  completed?.leave('w/b');
  expect(completed?.lets(1)).toBe(false);
  completed?.leave('r/b');
  expect(completed?.lets(1)).toBe(true);
});

it('waits for what the one before us is about to know', async () => {
  const neighbours = newNeighbours();
  neighbours.tell('b', { token: 4n, view: Promise.resolve(viewOf(12n, ['a'])) });
  const completed = await neighbours.complete(viewOf(9n, ['b'], false), 11n, signal);
  expect([...(completed?.ahead.keys() ?? [])]).toEqual(['a', 'b']);
  // What we were not told of since then is still to be applied.
  expect(completed?.revision).toBe(9n);
});

it.each([
  ['fails', 4n, () => Promise.reject(new Error('no answer')), 0n],
  ['is another with its name', 5n, () => viewOf(12n, ['a']), 0n],
  ['does not know all', 4n, () => viewOf(12n, ['a'], false), 0n],
  ['knows less than we were told', 4n, () => viewOf(10n, ['a']), 11n],
])('takes nothing from one who %s', async (_, token, view, seen) => {
  const neighbours = newNeighbours();
  neighbours.tell('b', { token, view: view() });
  expect(await neighbours.complete(viewOf(9n, ['b'], false), seen, signal)).toBe(undefined);
});

it('takes what holds for ever from one who is in, and nothing that may have changed', async () => {
  const neighbours = newNeighbours();
  neighbours.settle('b', 4n, viewOf(5n, []));
  const completed = await neighbours.complete(viewOf(9n, ['b'], false), 11n, signal);
  expect([...(completed?.ahead.keys() ?? [])]).toEqual(['b']);
  neighbours.settle('b', 4n, viewOf(5n, ['a']));
  expect(await neighbours.complete(viewOf(9n, ['b'], false), 0n, signal)).toBe(undefined);
});

it('stops waiting when the signal aborts', async () => {
  const neighbours = newNeighbours();
  const stop = new AbortController();
  neighbours.tell('b', { token: 4n, view: new Promise(() => {}) });
  const completed = neighbours.complete(viewOf(9n, ['b'], false), 0n, stop.signal);
  stop.abort(new Error('enough'));
  await expect(completed).rejects.toThrow('enough');
});
