import { describe, expect, it, vi } from 'vitest';
import { folderOf, prefixRange } from '../../src/core/store/keys.js';
import { useEtcd } from '../support/etcd.js';
import { cliOn, keys } from './support/cli.js';

const etcd = useEtcd();
const cli = cliOn(etcd);
const patience = { timeout: 60_000 };

/** A name whose records go after the test. */
function newName(): string {
  const name = etcd.name();
  etcd.defer(() =>
    etcd.admin.commit({
      success: [{ delete: prefixRange(folderOf('audit', `election/${name}`)) }],
    }),
  );
  return name;
}

describe('elect', () => {
  it('leads until it is interrupted, and resigns then', async () => {
    const name = newName();
    const run = cli(['elect', name, 'me', '--json']);
    await run.printed(/\n/);
    const { key, value, token } = JSON.parse(run.stdout) as Record<string, string>;
    const leader = await (await etcd.connect()).election(name).leader();
    expect({ key, value, token }).toEqual({
      key: leader?.key,
      value: 'me',
      token: String(leader?.token),
    });
    run.signal('SIGINT');
    expect(await run.ended).toBe(0);
    expect(await etcd.count(folderOf('election', name))).toBe(0);
  });

  it('runs a command while it leads, by priority, and exits as that does', async () => {
    const name = newName();
    const term = await (await etcd.connect()).election(name).campaign('before');
    const script = 'echo "$1 $ETCD_RECIPES_LOCK_KEY $ETCD_RECIPES_TOKEN"; exit 3';
    const [low, high] = ['1', '2'].map((priority) =>
      cli(['elect', name, 'x', '--priority', priority, '--', 'sh', '-c', script, 'sh', priority]),
    );
    await keys(etcd, `${folderOf('election', name)}candidates/`, 3);
    await term.resign();
    expect([await low?.ended, await high?.ended]).toEqual([3, 3]);
    const tokens = [low, high].map((run) => BigInt(run?.stdout.trim().split(' ').at(-1) ?? ''));
    expect(tokens[0]).toBeGreaterThan(tokens[1] ?? 0n);
    expect(high?.stdout).toMatch(new RegExp(`^2 election/${name}/terms/\\S+ \\d+\n$`));
  });

  it('stops the command when the term is lost, and with --again runs it anew', async () => {
    const name = newName();
    const election = (await etcd.connect()).election(name);
    const script = 'trap "exit 0" TERM; echo began; while :; do sleep 0.05; done';
    const once = cli(['elect', name, 'once', '--', 'sh', '-c', script]);
    await once.printed('began');
    await election.forceRelease('for a test');
    expect(await once.ended).toBe(79);
    const again = cli(['elect', name, 'again', '--again', '--', 'sh', '-c', script]);
    await again.printed('began');
    await election.forceRelease('for a test');
    await again.printed(/began\nbegan/);
    again.signal('SIGTERM');
    expect(await again.ended).toBe(0);
  });

  it('gives up where somebody leads: at once, or after a while', async () => {
    const name = newName();
    const term = await (await etcd.connect()).election(name, { layout: 'go' }).campaign('other');
    for (const limit of [['--try'], ['--wait', '50']]) {
      const run = cli(['elect', name, 'me', '--layout', 'go', ...limit, '--', 'echo', 'never']);
      expect(await run.ended).toBe(75);
      expect(run.stdout).toBe('');
    }
    await term.resign();
  });

  it('takes a number for a priority, and a command behind --', async () => {
    expect(await cli(['elect', 'x', 'y', '--priority', 'high']).ended).toBe(64);
    expect(await cli(['elect', 'x', 'y', 'ls']).ended).toBe(64);
  });
});

describe('observe', () => {
  it('says nothing but what it sees, however much that is, and ends when nobody reads it', async () => {
    const name = newName();
    const run = cli(['observe', name]);
    await run.printed('nobody');
    const term = await (await etcd.connect()).election(name).campaign('0');
    for (let i = 1; i <= 12; i += 1) {
      await term.proclaim(String(i));
      await run.printed(new RegExp(`  ${i}\n`));
    }
    expect(run.stderr).toBe('');
    run.process.stdout?.destroy();
    let i = 13;
    const ended = vi.waitFor(async () => {
      await term.proclaim(String((i += 1)));
      expect(run.process.exitCode).toBe(0);
    }, patience);
    await ended;
    expect(run.stderr).toBe('');
  });

  it('tells of every leader, value and vacancy until it is interrupted', async () => {
    const name = newName();
    const [words, json] = [cli(['observe', name]), cli(['observe', name, '--json'])];
    for (const run of [words, json]) await run.printed(/\n/);
    const term = await (await etcd.connect()).election(name).campaign('a');
    await term.proclaim('b');
    await term.resign();
    for (const run of [words, json]) {
      await vi.waitFor(() => expect(run.stdout.trim().split('\n')).toHaveLength(4), patience);
      run.signal('SIGTERM');
      expect(await run.ended).toBe(0);
    }
    const { token } = term;
    expect(words.stdout).toBe(`nobody\nleader  ${token}  a\nleader  ${token}  b\nnobody\n`);
    const lines = json.stdout.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { leader: null, missed: false },
      { leader: { value: 'a', token: String(token), priority: 0 } },
      { leader: { value: 'b' } },
      { leader: null },
    ]);
  });

  it('tells once who leads, and by its status whether somebody does', async () => {
    const name = newName();
    const nobody = cli(['observe', name, '--once']);
    expect(await nobody.ended).toBe(75);
    expect(nobody.stdout).toBe('nobody\n');
    const term = await (await etcd.connect()).election(name).campaign('me\u001b[2J');
    const somebody = cli(['observe', name, '--once']);
    expect(await somebody.ended).toBe(0);
    expect(somebody.stdout).toBe(`leader  ${term.token}  me [2J\n`);
  });
});

describe('an election', () => {
  it('is shown with who leads and who stands', async () => {
    const name = newName();
    const nobody = cli(['inspect', name, '--kind', 'election']);
    expect(await nobody.ended).toBe(0);
    expect(nobody.stdout).toBe(`nobody leads ${name}\n`);
    const coordinator = await etcd.connect();
    await coordinator.election(name, { id: 'a' }).campaign('first');
    coordinator
      .election(name, { id: 'b', priority: 3 })
      .campaign('second')
      .catch(() => {});
    await keys(etcd, `${folderOf('election', name)}candidates/`, 2);
    const [table, json] = [[], ['--json']].map((options) =>
      cli(['inspect', name, '--kind', 'election', ...options]),
    );
    expect([await table?.ended, await json?.ended]).toEqual([0, 0]);
    expect(table?.stdout).toMatch(/^POSITION +ID +PRIORITY +VALUE .*\nleader +a +0 +first .*\n1 /);
    expect(JSON.parse(json?.stdout ?? '')).toMatchObject({
      name,
      leader: { id: 'a', value: 'first' },
      candidates: [{ id: 'b', priority: 3, value: 'second' }],
    });
  });

  it('is given back on request, and taken by force, which is written down', async () => {
    const name = newName();
    const election = (await etcd.connect()).election(name);
    const term = await election.campaign('me');
    const heard: unknown[] = [];
    term.onRevokeRequest(({ reason }) => heard.push(reason));
    const asked = cli(['revoke', name, '--kind', 'election', '--reason', 'update', '--json']);
    expect(await asked.ended).toBe(0);
    expect(JSON.parse(asked.stdout)).toMatchObject({ asked: [{ value: 'me' }] });
    await vi.waitFor(() => expect(heard).toEqual(['update']), patience);
    expect(term.lost).toBe(undefined);
    expect((await election.leader())?.value).toBe('me');
    const forced = cli(['revoke', name, '--kind', 'election', '--force']);
    expect(await forced.ended).toBe(0);
    expect(forced.stdout).toMatch(/\nleader /);
    await vi.waitFor(() => expect(term.lost).toBe('deleted'), patience);
    expect(await election.audit()).toMatchObject([{ token: term.token, reason: 'by hand' }]);
    const none = cli(['revoke', name, '--kind', 'election']);
    expect(await none.ended).toBe(0);
    expect(none.stdout).toBe(`nobody leads ${name}\n`);
  });

  it('shared with Go takes no request, for its value is what others see', async () => {
    const name = newName();
    const election = (await etcd.connect()).election(name, { layout: 'go' });
    const term = await election.campaign('me');
    const run = cli(['revoke', name, '--kind', 'election', '--layout', 'go']);
    expect(await run.ended).toBe(64);
    expect((await election.leader())?.value).toBe('me');
    const args = ['revoke', name, '--kind', 'election', '--layout', 'go', '--force'];
    expect(await cli(args).ended).toBe(0);
    await vi.waitFor(() => expect(term.lost).toBe('deleted'), patience);
  });
});
