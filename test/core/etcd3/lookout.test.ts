import { describe, expect, it } from 'vitest';
import type { Endpoint } from '../../../src/core/etcd3/endpoint.js';
import { Lookout } from '../../../src/core/etcd3/lookout.js';
import { deferred } from '../../../src/core/time/deferred.js';
import { VirtualClock } from '../../../src/embed/virtual-clock.js';

type Deferred = ReturnType<typeof deferred<boolean>>;

/** A lookout over endpoints of these names, which are silent until they are told to answer. */
const lookoutOver = (...names: string[]) => {
  const clock = new VirtualClock();
  const candidates = names.map((name) => ({ name }) as Endpoint);
  const asked: { readonly name: string; readonly at: number; readonly atLeast: number }[] = [];
  const open = new Map<string, Deferred[]>(names.map((name) => [name, []]));
  const found: string[] = [];
  /** What was abandoned of what they owe since 0, and since now. */
  const abandoned: { readonly at: number; readonly old: string; readonly fresh: string }[] = [];
  const lookout = new Lookout(clock, {
    candidates: () => candidates,
    isWell({ name }, atLeast) {
      asked.push({ name, at: clock.now(), atLeast });
      const answer = deferred<boolean>();
      open.get(name)?.push(answer);
      return answer.promise;
    },
    found: ({ name }, isFirst) => found.push(isFirst ? `${name} first` : name),
    abandon(isAbandoned) {
      const since = (time: number): string =>
        candidates.flatMap((each) => (isAbandoned(each, time) ? each.name : [])).join();
      abandoned.push({ at: clock.now(), old: since(0), fresh: since(clock.now()) });
    },
  });
  const answer = async (name: string, isWell = true): Promise<void> => {
    for (const each of open.get(name)?.splice(0) ?? []) each.resolve(isWell);
    await clock.advance(0);
  };
  return { clock, lookout, asked, found, abandoned, answer };
};

describe('looking for an endpoint', () => {
  it('asks all at once, and again before they have answered', async () => {
    const { clock, lookout, asked } = lookoutOver('a', 'b');
    lookout.begin();
    await clock.advance(250);
    expect(asked.map(({ name, at }) => `${name} ${at}`)).toEqual(
      [0, 100, 200].flatMap((at) => [`a ${at}`, `b ${at}`]),
    );
  });

  it('gives them the more time the longer nobody answers, and asks less often', async () => {
    const { clock, lookout, asked } = lookoutOver('a');
    lookout.begin();
    await clock.advance(9_000);
    expect(asked.every(({ at, atLeast }) => atLeast === at)).toBe(true);
    const late = asked.filter(({ at }) => at > 6_000);
    expect(late.length).toBeGreaterThan(3);
    expect(late.length).toBeLessThan(10);
  });

  it('asks as often after an hour as after some seconds, and waits no longer', async () => {
    const { clock, lookout, asked } = lookoutOver('a');
    for (let seconds = 0; seconds < 3_600; seconds += 5) {
      lookout.begin();
      await clock.advance(5_000);
    }
    const late = asked.filter(({ at }) => at >= 3_590_000);
    expect(late.length).toBeGreaterThanOrEqual(20);
    expect(late.every(({ atLeast }) => atLeast === 10_000)).toBe(true);
  });

  it('ends with the first that is well, and takes note of others that are', async () => {
    const { clock, lookout, asked, found, answer } = lookoutOver('a', 'b', 'c');
    lookout.begin();
    await answer('a', false);
    await answer('b');
    await answer('c');
    expect(found).toEqual(['b first', 'c']);
    await clock.advance(60_000);
    // It asks the one found once more, for the sake of answers that are owed.
    expect(asked.map(({ name }) => name).join()).toBe('a,b,c,b');
  });

  it('ends when nobody has needed one for ten seconds', async () => {
    const { clock, lookout, asked } = lookoutOver('a');
    lookout.begin();
    await clock.advance(9_000);
    lookout.begin();
    await clock.advance(9_000);
    const { length } = asked;
    await clock.advance(2_000);
    expect(asked.length).toBeGreaterThan(length);
    await clock.advance(60_000);
    expect(asked.at(-1)?.at).toBeLessThan(19_000);
  });

  it('begins anew for the next that needs one', async () => {
    const { lookout, found, answer } = lookoutOver('a');
    lookout.begin();
    await answer('a');
    lookout.begin();
    await answer('a');
    expect(found).toEqual(['a first', 'a first']);
  });

  it('asks and tells nothing after its end', async () => {
    const { clock, lookout, asked, abandoned, answer } = lookoutOver('a', 'b');
    lookout.begin();
    await answer('a');
    lookout.begin();
    lookout.close();
    await answer('a');
    await clock.advance(60_000);
    expect([asked.length, abandoned]).toEqual([5, []]);
  });
});

describe('answers owed by endpoints', () => {
  it('are waited for where they have been well all along, and not at the silent', async () => {
    const { clock, lookout, abandoned, answer } = lookoutOver('a', 'b', 'c');
    lookout.begin();
    await answer('b');
    await answer('b');
    await clock.advance(20);
    await answer('c');
    await clock.advance(80);
    expect(abandoned).toEqual([{ at: 100, old: 'a', fresh: 'a' }]);
  });

  it('are waited for as long as the one found takes to answer once more: all may be far away', async () => {
    const { clock, lookout, abandoned, answer } = lookoutOver('a', 'b', 'c');
    lookout.begin();
    await clock.advance(300);
    await answer('b');
    await clock.advance(20);
    await answer('c');
    await clock.advance(280);
    expect(abandoned).toEqual([]);
    await answer('a');
    await answer('b');
    await clock.advance(100);
    expect(abandoned.map(({ at, old, fresh }) => [at, old, fresh])).toEqual([
      [600, 'a,c', ''],
      [700, 'a,b,c', ''],
    ]);
  });

  it('are not judged while somebody else is looked for anew', async () => {
    const { clock, lookout, abandoned, answer } = lookoutOver('a', 'b');
    lookout.begin();
    await answer('b');
    lookout.begin();
    await answer('a');
    await clock.advance(200);
    expect(abandoned).toEqual([]);
    await answer('a');
    await clock.advance(100);
    expect(abandoned).toEqual([{ at: 300, old: 'b', fresh: 'b' }]);
  });

  it('are waited for nowhere after an outage, unless they come at once: what was sent in it is not answered', async () => {
    const { clock, lookout, abandoned, answer } = lookoutOver('a', 'b', 'c');
    lookout.begin();
    await clock.advance(1_200);
    expect(abandoned).toEqual([]);
    await answer('b');
    await answer('a');
    await answer('b');
    expect(abandoned.splice(0)).toEqual([{ at: 1_200, old: 'a,c', fresh: '' }]);
    await answer('c');
    await clock.advance(100);
    // What was sent since is answered.
    expect(abandoned).toEqual([{ at: 1_300, old: 'a,b,c', fresh: '' }]);
  });

  it('are given up after an outage, also where the one found fails once more right after', async () => {
    const { clock, lookout, abandoned, answer } = lookoutOver('a', 'b');
    lookout.begin();
    await clock.advance(1_200);
    await answer('b');
    await answer('a');
    await answer('b');
    await clock.advance(50);
    lookout.begin();
    await answer('b');
    await answer('a');
    await answer('b');
    await clock.advance(100);
    expect(abandoned.at(-1)).toEqual({ at: 1_350, old: 'a,b', fresh: '' });
  });
});
