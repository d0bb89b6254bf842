import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { sharedEndpoint } from '../support/endpoint.js';
import { etcdctlFor, type Running } from './support/etcdctl.js';

const endpoint = sharedEndpoint();
const ctl = etcdctlFor(endpoint);
const { run, runWith, refusal } = ctl;
const patience = { timeout: 60_000, interval: 5 };
const semver = String.raw`\d+\.\d+\.\d+`;

const COMPACTED = 'Error: etcdserver: mvcc: required revision has been compacted';
const FUTURE = 'Error: etcdserver: mvcc: required revision is a future revision';
const NO_LEASE = 'Error: etcdserver: requested lease not found';
/** No lease of anyone has it. */
const UNKNOWN_LEASE = '7fff000000001234';

/** What the keys of a test begin with, and those of nobody else. */
let p = '';

beforeEach(() => {
  p = `ctl-${randomUUID()}/`;
});

afterEach(() => ctl.stopAll());

/** Puts a value, and gives the revision. */
async function put(name: string, value: string): Promise<number> {
  return revisionOf(await run('put', '-w', 'json', '--', p + name, value));
}

async function del(name: string): Promise<number> {
  return revisionOf(await run('del', '-w', 'json', p + name));
}

function revisionOf(json: string): number {
  const { header } = JSON.parse(json) as { readonly header: { readonly revision: number } };
  return header.revision;
}

/** The names of the keys that a `get` finds. */
async function names(...args: readonly string[]): Promise<string> {
  const keys = (await run('get', '--keys-only', ...args)).split('\n').filter(Boolean);
  return keys.map((key) => key.replace(p, '')).join(' ');
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** Hides what differs from server to server. */
function withoutHeader(json: string): string {
  return json.replace(
    /"cluster_id":[1-9]\d*,"member_id":[1-9]\d*,"revision":[1-9]\d*,"raft_term":[1-9]\d*/,
    '…',
  );
}

async function grant(seconds: number): Promise<string> {
  const printed = await run('lease', 'grant', String(seconds));
  const [, id = ''] = /^lease ([0-9a-f]{16}) granted with TTL\(\d+s\)\n$/.exec(printed) ?? [];
  expect(printed).toBe(`lease ${id} granted with TTL(${seconds}s)\n`);
  return id;
}

describe('etcdctl put', () => {
  it('puts a value from an argument', async () => {
    expect(await run('put', `${p}a`, 'two words')).toBe('OK\n');
    expect(await run('get', `${p}a`)).toBe(`${p}a\ntwo words\n`);
    expect(await run('put', '--', `${p}a`, '-dash')).toBe('OK\n');
    expect(await run('get', `${p}a`)).toBe(`${p}a\n-dash\n`);
  });

  it('puts a value from its input', async () => {
    const value = `line 1\nline 2: é, "quoted"\0${'v'.repeat(500_000)}`;
    expect(await runWith(value, 'put', `${p}a`)).toBe('OK\n');
    expect(await run('get', `${p}a`)).toBe(`${p}a\n${value}\n`);
  });

  it('prints the previous pair with --prev-kv', async () => {
    expect(await run('put', '--prev-kv', `${p}a`, '1')).toBe('OK\n');
    expect(await run('put', '--prev-kv', `${p}a`, '2')).toBe(`OK\n${p}a\n1\n`);
    const revision = await put('b', 'x');
    expect(withoutHeader(await run('put', '--prev-kv', '-w', 'json', `${p}b`, 'y'))).toBe(
      `{"header":{…},"prev_kv":{"key":"${base64(`${p}b`)}","create_revision":${revision},"mod_revision":${revision},"version":1,"value":"eA=="}}\n`,
    );
  });

  it('attaches a lease, and keeps lease or value where it is told to', async () => {
    const id = await grant(60);
    expect(await run('put', `--lease=${id}`, `${p}a`, '1')).toBe('OK\n');
    expect(await run('put', '--ignore-lease', `${p}a`, '2')).toBe('OK\n');
    const lease = async (): Promise<string | undefined> =>
      /^"Lease" : (\d+)$/m.exec(await run('get', '-w', 'fields', `${p}a`))?.[1];
    expect(await lease()).toBe(BigInt(`0x${id}`).toString());
    expect(await run('put', '--ignore-value', `${p}a`)).toBe('OK\n');
    expect(await lease()).toBe('0');
    expect(await run('get', `${p}a`)).toBe(`${p}a\n2\n`);
    await run('lease', 'revoke', id);
    expect(await run('get', `${p}a`)).toBe(`${p}a\n2\n`);
  });

  it('is refused what it cannot put', async () => {
    const missing = `${p}missing`;
    expect(await refusal('put', '', 'x')).toBe('Error: etcdserver: key is not provided');
    for (const flag of ['--ignore-value', '--ignore-lease']) {
      const value = flag === '--ignore-lease' ? ['x'] : [];
      expect(await refusal('put', flag, missing, ...value)).toBe(
        'Error: etcdserver: key not found',
      );
    }
    expect(await refusal('put', `--lease=${UNKNOWN_LEASE}`, missing, 'x')).toBe(NO_LEASE);
    expect(await run('get', missing)).toBe('');
  });
});

describe('etcdctl get', () => {
  it('gets one key, a prefix, a range and everything from a key on', async () => {
    for (const name of ['a', 'b', 'b/1', 'b/2', 'c']) await put(name, `value of ${name}`);
    expect(await run('get', `${p}b`)).toBe(`${p}b\nvalue of b\n`);
    expect(await run('get', `${p}b/`, '--prefix')).toBe(
      `${p}b/1\nvalue of b/1\n${p}b/2\nvalue of b/2\n`,
    );
    expect(await names(`${p}a`, `${p}b/2`)).toBe('a b b/1');
    expect(await names(`${p}b/1`, '--from-key', '--limit=3')).toBe('b/1 b/2 c');
    expect(await names(`${p}c`, `${p}a`)).toBe('');
    expect(await run('get', `${p}none`)).toBe('');
    expect(await names('', '--prefix')).toContain('b/1 b/2 c');
    expect(await names('', '--from-key')).toContain('b/1 b/2 c');
  });

  it('gets no more than --limit', async () => {
    for (const name of ['a', 'b', 'c']) await put(name, name);
    expect(await names(p, '--prefix', '--limit=2')).toBe('a b');
    const fields = (limit: number): Promise<string> =>
      run('get', p, '--prefix', '-w', 'fields', `--limit=${limit}`);
    expect(await fields(2)).toMatch(/"More" : true\n"Count" : 3\n$/);
    expect(await fields(3)).toMatch(/"More" : false\n"Count" : 3\n$/);
  });

  it('sorts by every target in both orders', async () => {
    // Every target gives another order.
    const puts = 'd1 b2 a4 c3 b2 b2 a4 d1 d1 d1';
    for (const [name = '', value = ''] of puts.split(' ')) await put(name, value);
    const orders = {
      KEY: 'a b c d',
      CREATE: 'd b a c',
      MODIFY: 'c b a d',
      VERSION: 'c a b d',
      VALUE: 'd b c a',
    };
    for (const [target, ascending] of Object.entries(orders)) {
      const descending = ascending.split(' ').toReversed().join(' ');
      const sorted = (...args: readonly string[]): Promise<string> =>
        names(p, '--prefix', `--sort-by=${target}`, ...args);
      expect({
        target,
        byDefault: await sorted(),
        ascending: await sorted('--order=ASCEND'),
        descending: await sorted('--order=DESCEND'),
        highest: await sorted('--order=DESCEND', '--limit=2'),
      }).toEqual({
        target,
        byDefault: ascending,
        ascending,
        descending,
        highest: descending.slice(0, 3),
      });
    }
    expect(await names(p, '--prefix', '--order=DESCEND')).toBe('d c b a');
  });

  it('gets what was at an old revision', async () => {
    const first = await put('a', '1');
    const second = await put('b', '2');
    await put('a', '3');
    const last = await del('b');
    const at = async (revision: number): Promise<string> =>
      (await run('get', p, '--prefix', `--rev=${revision}`)).replaceAll(p, '');
    expect(await at(first)).toBe('a\n1\n');
    expect(await at(second)).toBe('a\n1\nb\n2\n');
    expect(await at(last)).toBe('a\n3\n');
    expect(await refusal('get', p, `--rev=${last + 1_000_000}`)).toBe(FUTURE);
  });

  it('prints keys only, values only, hexadecimal digits and fields', async () => {
    const revision = await put('a', 'x\n"y"');
    expect(await run('get', `${p}a`, '--keys-only')).toBe(`${p}a\n\n`);
    expect(await run('get', `${p}a`, '--print-value-only')).toBe('x\n"y"\n');
    const hex = (text: string): string =>
      [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
    expect(await run('get', `${p}a`, '--hex')).toBe(`${hex(`${p}a`)}\n${hex('x\n"y"')}\n`);
    expect(await run('get', `${p}a`, '-w', 'fields')).toMatch(
      new RegExp(
        String.raw`^"ClusterID" : \d+\n"MemberID" : \d+\n"Revision" : \d+\n"RaftTerm" : \d+\n` +
          `"Key" : "${p}a"\n"CreateRevision" : ${revision}\n"ModRevision" : ${revision}\n` +
          String.raw`"Version" : 1\n"Value" : "x\\n\\"y\\""\n"Lease" : 0\n` +
          String.raw`"More" : false\n"Count" : 1\n$`,
      ),
    );
  });

  it('prints JSON', async () => {
    const first = await put('a', 'x');
    const second = await put('a', 'y');
    const id = await grant(60);
    await run('put', `--lease=${id}`, `${p}b`, '');
    const [line = '', rest] = (await run('get', p, '--prefix', '-w', 'json')).split('\n');
    expect(rest).toBe('');
    const third = revisionOf(line);
    expect(withoutHeader(line)).toBe(
      `{"header":{…},"kvs":[{"key":"${base64(`${p}a`)}","create_revision":${first},"mod_revision":${second},"version":2,"value":"eQ=="},` +
        `{"key":"${base64(`${p}b`)}","create_revision":${third},"mod_revision":${third},"version":1,"lease":${BigInt(`0x${id}`)}}],"count":2}`,
    );
    expect(withoutHeader(await run('get', `${p}none`, '-w', 'json'))).toBe('{"header":{…}}\n');
    await run('lease', 'revoke', id);
  });

  it('reads without asking the other members with --consistency=s', async () => {
    await put('a', '1');
    expect(await run('get', `${p}a`, '--consistency=s')).toBe(`${p}a\n1\n`);
  });

  it.runIf(ctl.has(5))('prints the count only', async () => {
    await put('a', '1');
    await put('b', '2');
    const printed = await run('get', p, '--prefix', '--count-only', '-w', 'fields');
    expect(printed).toMatch(/"RaftTerm" : \d+\n"More" : false\n"Count" : 2\n$/);
  });

  it.runIf(ctl.has(6))('gets what was put between two revisions', async () => {
    const a = await put('a', '1');
    const b = await put('b', '2');
    const c = await put('c', '3');
    const again = await put('a', '4');
    const bounded = (...bounds: readonly string[]): Promise<string> =>
      names(p, '--prefix', ...bounds);
    expect(await bounded(`--min-create-rev=${b}`)).toBe('b c');
    expect(await bounded(`--max-create-rev=${b}`)).toBe('a b');
    expect(await bounded(`--min-mod-rev=${c}`)).toBe('a c');
    expect(await bounded(`--max-mod-rev=${c}`)).toBe('b c');
    expect(await bounded(`--max-create-rev=${a}`, `--min-mod-rev=${again}`)).toBe('a');
  });

  it.runIf(ctl.has(7))('gets by a stream', async ({ skip }) => {
    await put('a', '1');
    await put('b', '2');
    const { code, stdout, stderr } = await ctl.attempt('get', p, '--prefix', '--stream');
    skip(stderr.includes('Unimplemented'), 'this server has no streams of keys');
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${p}a\n1\n${p}b\n2\n` });
  });
});

describe('etcdctl del', () => {
  it('deletes one key, a range, a prefix and everything from a key on', async () => {
    for (const name of ['a', 'b', 'c', 'd/1', 'd/2', 'e']) await put(name, name);
    expect(await run('del', `${p}a`)).toBe('1\n');
    expect(await run('del', `${p}a`)).toBe('0\n');
    // Newer ones wait for two seconds if they are not told that a range is meant.
    const range = ctl.has(6) ? ['--range'] : [];
    expect(await run('del', `${p}b`, `${p}d`, ...range)).toBe('2\n');
    expect(await run('del', `${p}d/`, '--prefix')).toBe('2\n');
    expect(await names(p, '--prefix')).toBe('e');
  });

  it('deletes everything from a key on', async () => {
    // Behind the keys of all others, who must keep theirs.
    const last = `\u{10FFFF}${p}`;
    for (const name of ['a', 'b', 'c']) await run('put', last + name, name);
    expect(await run('del', `${last}b`, '--from-key')).toBe('2\n');
    expect(await run('del', last, '--prefix')).toBe('1\n');
  });

  it('prints what it deleted with --prev-kv', async () => {
    const revision = await put('a', '1');
    await put('b', '2');
    expect(await run('del', p, '--prefix', '--prev-kv')).toBe(`2\n${p}a\n1\n${p}b\n2\n`);
    expect(await run('del', p, '--prefix', '--prev-kv')).toBe('0\n');
    const again = await put('a', 'x');
    expect(again).toBeGreaterThan(revision);
    expect(withoutHeader(await run('del', `${p}a`, '--prev-kv', '-w', 'json'))).toBe(
      `{"header":{…},"deleted":1,"prev_kvs":[{"key":"${base64(`${p}a`)}","create_revision":${again},"mod_revision":${again},"version":1,"value":"eA=="}]}\n`,
    );
  });

  it('is refused an empty key', async () => {
    expect(await refusal('del', '')).toBe('Error: etcdserver: key is not provided');
  });
});

describe('etcdctl txn', () => {
  /** Runs a transaction whose lines name keys with `$`. */
  const txn = async (parts: readonly (readonly string[])[], ...args: string[]): Promise<string> => {
    const input = parts.map((lines) => lines.map((line) => `${line}\n`).join('')).join('\n');
    return (await runWith(`${input}\n`.replaceAll('$', p), 'txn', ...args)).replaceAll(p, '');
  };

  // No lease: etcdctl panics before it sends such a compare.
  it('compares value, version and revisions', async () => {
    const created = await put('a', 'x');
    const modified = await put('a', 'y');
    const succeeds = async (...compares: string[]): Promise<boolean> =>
      (await txn([compares, [], []])) === 'SUCCESS\n';
    for (const [target, equal] of [
      ['value', 'y'],
      ['val', 'y'],
      ['version', 2],
      ['ver', 2],
      ['create', created],
      ['c', created],
      ['mod', modified],
      ['m', modified],
    ] as const) {
      const lower = typeof equal === 'number' ? equal - 1 : 'x';
      const compare = (operator: string, operand: string | number): Promise<boolean> =>
        succeeds(`${target}("$a") ${operator} "${operand}"`);
      expect({
        target,
        equal: [await compare('=', equal), await compare('=', lower)],
        unequal: [await compare('!=', equal), await compare('!=', lower)],
        greater: [await compare('>', equal), await compare('>', lower)],
        less: [await compare('<', equal), await compare('<', lower)],
      }).toEqual({
        target,
        equal: [true, false],
        unequal: [false, true],
        greater: [false, true],
        less: [false, false],
      });
    }
    expect(await succeeds('val("$a") = "y"', 'ver("$a") > "1"')).toBe(true);
    expect(await succeeds('val("$a") = "y"', 'ver("$a") > "2"')).toBe(false);
    expect(await succeeds('create("$missing") = "0"')).toBe(true);
    expect(await succeeds('val("$missing") != "y"')).toBe(false);
  });

  it('runs the first requests where all compares hold, and else the second ones', async () => {
    await put('a', '1');
    await put('old', '2');
    const parts = [
      ['value("$a") = "1"'],
      ['get $a', 'put $a "two words" --prev-kv', 'put $b 3', 'get $ --prefix', 'del $old'],
      ['get $a', 'get $ --prefix --keys-only', 'del $none'],
    ];
    expect(await txn(parts)).toBe(
      'SUCCESS\n\na\n1\n\nOK\na\n1\n\nOK\n\na\ntwo words\nb\n3\nold\n2\n\n1\n',
    );
    expect(await txn(parts)).toBe('FAILURE\n\na\ntwo words\n\na\n\nb\n\n\n0\n');
    expect(await run('get', `${p}b`)).toBe(`${p}b\n3\n`);
  });

  it('asks for each part where it is told to be interactive', async () => {
    expect(await txn([[], ['put $a 1'], []], '--interactive')).toBe(
      'compares:\nsuccess requests (get, put, del):\nfailure requests (get, put, del):\nSUCCESS\n\nOK\n',
    );
    expect(await run('get', `${p}a`)).toBe(`${p}a\n1\n`);
  });

  it('writes all keys at one revision', async () => {
    const printed = await txn([[], ['put $a 1', 'put $b 2'], []], '-w', 'json');
    expect(withoutHeader(printed)).toMatch(/^\{"header":\{…\},"succeeded":true,"responses":\[/);
    const revision = revisionOf(printed);
    expect(
      printed.match(new RegExp(`\\{"header":\\{"revision":${revision}\\}\\}`, 'g')),
    ).toHaveLength(2);
    const json = await run('get', p, '--prefix', '-w', 'json');
    expect(json.match(new RegExp(`"mod_revision":${revision},`, 'g'))).toHaveLength(2);
  });

  it('is refused what makes no sense, and changes nothing', async () => {
    const refused = async (...lines: string[]): Promise<string> => {
      const running = ctl.start('txn');
      for (const line of ['', ...lines, '', '']) running.type(line.replaceAll('$', p));
      const { code, stderr } = await running.ended;
      expect(code).toBe(1);
      return stderr.trimEnd().split('\n').at(-1) ?? '';
    };
    expect(await refused('put $a 1', 'put $a 2')).toBe(
      'Error: etcdserver: duplicate key given in txn request',
    );
    expect(await refused('put $a 1', 'del $ --prefix')).toBe(
      'Error: etcdserver: duplicate key given in txn request',
    );
    expect(await refused(...Array.from({ length: 129 }, (_, i) => `put $${i} x`))).toBe(
      'Error: etcdserver: too many operations in txn request',
    );
    expect(await refused('put $a 1', `put $b 2 --lease=${UNKNOWN_LEASE}`)).toBe(NO_LEASE);
    expect(await refused('put $a 1', `get $a --rev=${2 ** 40}`)).toBe(FUTURE);
    expect(await names(p, '--prefix')).toBe('');
  });
});

describe('etcdctl compaction', () => {
  it.each([['at once'], ['--physical']])('takes the past away, %s', async (flag) => {
    const first = await put('a', '1');
    const second = await put('a', '2');
    const third = await put('a', '3');
    const flags = flag.startsWith('--') ? [flag] : [];
    expect(await run('compaction', ...flags, String(second))).toBe(
      `compacted revision ${second}\n`,
    );
    expect(await refusal('get', `${p}a`, `--rev=${first}`)).toBe(COMPACTED);
    expect(await run('get', `${p}a`, `--rev=${second}`)).toBe(`${p}a\n2\n`);
    expect(await run('get', `${p}a`)).toBe(`${p}a\n3\n`);
    expect(await refusal('compaction', String(second))).toBe(COMPACTED);
    expect(await refusal('compaction', String(first))).toBe(COMPACTED);
    expect(await refusal('compaction', String(third + 1_000_000))).toBe(FUTURE);
  });

  it('ends a watch from a revision that it took', async () => {
    const first = await put('a', '1');
    await run('compaction', String(await put('a', '2')));
    const watch = ctl.start('watch', `${p}a`, `--rev=${first}`);
    expect(await watch.ended).toEqual({
      code: 5,
      stdout: '',
      stderr:
        'watch was canceled (etcdserver: mvcc: required revision has been compacted)\n' +
        'Error: watch is canceled by the server\n',
    });
  });
});

describe('etcdctl watch', () => {
  /** Puts values until a watch, which does not tell when it begins, has printed one. */
  const begin = async (watch: Running, name: string): Promise<void> => {
    await vi.waitFor(async () => {
      await put(name, 'begun');
      expect(watch.output()).toContain('begun');
    }, patience);
  };

  it('prints what happens to a key', async () => {
    const first = await put('a', '1');
    const watch = ctl.start('watch', `${p}a`, `--rev=${first}`);
    await watch.prints(`PUT\n${p}a\n1\n`);
    await put('b', 'another key');
    await put('a', '2');
    await del('a');
    await put('a', '');
    await watch.prints(`PUT\n${p}a\n1\nPUT\n${p}a\n2\nDELETE\n${p}a\n\nPUT\n${p}a\n\n`);
  });

  it('begins with the next event where it is told no revision', async () => {
    await put('a', 'past');
    const watch = ctl.start('watch', `${p}a`);
    await begin(watch, 'a');
    expect(watch.output()).not.toContain('past');
    await put('a', 'last');
    await watch.prints(new RegExp(`^(PUT\n${p}a\nbegun\n)+PUT\n${p}a\nlast\n$`));
  });

  it('prints past and present events of a prefix or a range, with previous pairs', async () => {
    const first = await put('a', '1');
    await put('b', '2');
    await put('a', '3');
    await del('b');
    const prefix = ctl.start('watch', p, '--prefix', '--prev-kv', `--rev=${first}`);
    const range = ctl.start('watch', `${p}a`, `${p}b`, `--rev=${first}`);
    const past = `PUT\n${p}a\n1\nPUT\n${p}b\n2\nPUT\n${p}a\n1\n${p}a\n3\nDELETE\n${p}b\n2\n${p}b\n\n`;
    const pastRange = `PUT\n${p}a\n1\nPUT\n${p}a\n3\n`;
    await prefix.prints(past);
    await range.prints(pastRange);
    await put('b', '4');
    await put('a', '5');
    await prefix.prints(`${past}PUT\n${p}b\n4\nPUT\n${p}a\n3\n${p}a\n5\n`);
    await range.prints(`${pastRange}PUT\n${p}a\n5\n`);
  });

  it('prints JSON', async () => {
    const first = await put('a', '1');
    const last = await del('a');
    const watch = ctl.start('watch', p, '--prefix', '-w', 'json', `--rev=${first}`);
    await watch.prints(/\n$/);
    expect(withoutHeader(watch.output())).toContain(
      `{"Header":{…},"Events":[{"kv":{"key":"${base64(`${p}a`)}","create_revision":${first},"mod_revision":${first},"version":1,"value":"MQ=="}},` +
        `{"type":1,"kv":{"key":"${base64(`${p}a`)}","mod_revision":${last}}}],"CompactRevision":0,"Canceled":false,"Created":false`,
    );
  });

  it('runs a command for each event', async () => {
    const first = await put('a', 'two words');
    const command = 'echo "$ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE"';
    const watch = ctl.start('watch', p, '--prefix', `--rev=${first}`, '--', 'sh', '-c', command);
    const put1 = `PUT\n${p}a\ntwo words\n"PUT" "${p}a" "two words"\n`;
    await watch.prints(put1);
    await del('a');
    await watch.prints(`${put1}DELETE\n${p}a\n\n"DELETE" "${p}a" ""\n`);
  });

  it('watches several keys, and asks how far it is, where it is interactive', async () => {
    const first = await put('a', '1');
    await put('b', '2');
    const watch = ctl.start('watch', '--interactive');
    watch.type(`watch ${p}a --rev=${first}`);
    await watch.prints(`PUT\n${p}a\n1\n`);
    watch.type(`watch ${p}b --rev=${first}`);
    await watch.prints(`PUT\n${p}a\n1\nPUT\n${p}b\n2\n`);
    const last = await put('b', '3');
    await watch.prints(`PUT\n${p}a\n1\nPUT\n${p}b\n2\nPUT\n${p}b\n3\n`);
    await vi.waitFor(
      () => {
        // A server may leave a request without an answer while a watch lags.
        watch.type('progress');
        const told = /progress notify: (\d+)\n/.exec(watch.output())?.[1];
        expect(Number(told)).toBeGreaterThanOrEqual(last);
      },
      { timeout: 15_000, interval: 100 },
    );
  });

  it('prints one event for each key of a transaction', async () => {
    const first = await put('a', '1');
    const watch = ctl.start('watch', p, '--prefix', `--rev=${first}`);
    await watch.prints(`PUT\n${p}a\n1\n`);
    await runWith(`\nput ${p}c 3\ndel ${p}a\nput ${p}b 2\n\n\n`, 'txn');
    await watch.prints(`PUT\n${p}a\n1\nPUT\n${p}c\n3\nDELETE\n${p}a\n\nPUT\n${p}b\n2\n`);
  });
});

describe('etcdctl lease', () => {
  it('grants, shows, keeps alive and revokes a lease', async () => {
    const id = await grant(60);
    await run('put', `--lease=${id}`, `${p}a`, '1');
    await run('put', `--lease=${id}`, `${p}b`, '2');
    expect(await run('lease', 'timetolive', id)).toMatch(
      new RegExp(String.raw`^lease ${id} granted with TTL\(60s\), remaining\(5\ds\)\n$`),
    );
    const shown = await run('lease', 'timetolive', id, '--keys');
    expect(shown).toMatch(/^lease [0-9a-f]+ granted with TTL\(60s\), remaining\(5\ds\), attached/);
    // The order of the keys is left open.
    expect(/keys\(\[(.*)\]\)\n$/.exec(shown)?.[1]?.split(' ').toSorted()).toEqual([
      `${p}a`,
      `${p}b`,
    ]);
    expect(await run('lease', 'keep-alive', '--once', id)).toBe(
      `lease ${id} keepalived with TTL(60)\n`,
    );
    const listed = (await run('lease', 'list')).split('\n');
    expect(listed[0]).toBe(`found ${listed.length - 2} leases`);
    expect(listed).toContain(id);
    expect(await run('lease', 'revoke', id)).toBe(`lease ${id} revoked\n`);
    expect(await names(p, '--prefix')).toBe('');
    expect(await run('lease', 'list')).not.toContain(id);
    expect(await run('lease', 'timetolive', id)).toBe(`lease ${id} already expired\n`);
  });

  it('prints JSON', async () => {
    const granted = withoutHeader(await run('lease', 'grant', '60', '-w', 'json'));
    const [, id = ''] = /"ID":(\d+)/.exec(granted) ?? [];
    expect(granted).toBe(`{…,"ID":${id},"TTL":60,"Error":""}\n`);
    const hex = BigInt(id).toString(16);
    await run('put', `--lease=${hex}`, `${p}a`, '1');
    expect(withoutHeader(await run('lease', 'timetolive', hex, '--keys', '-w', 'json'))).toMatch(
      new RegExp(
        String.raw`^\{…,"id":${id},"ttl":5\d,"granted-ttl":60,"keys":\["${base64(`${p}a`)}"\]\}\n$`,
      ),
    );
    expect(withoutHeader(await run('lease', 'keep-alive', '--once', hex, '-w', 'json'))).toBe(
      `{…,"ID":${id},"TTL":60}\n`,
    );
    expect(await run('lease', 'list', '-w', 'json')).toContain(`{"id":${id}}`);
    await run('lease', 'revoke', hex);
  });

  it('keeps a lease alive until it is revoked', async () => {
    const id = await grant(3);
    const keepAlive = ctl.start('lease', 'keep-alive', id);
    const renewed = `lease ${id} keepalived with TTL(3)\n`;
    await keepAlive.prints(new RegExp(`^(${renewed.replaceAll(/[()]/g, String.raw`\$&`)}){2,}$`));
    await run('lease', 'revoke', id);
    const { code, stdout } = await keepAlive.ended;
    expect(code).toBe(0);
    expect(stdout.replaceAll(renewed, '')).toBe(`lease ${id} expired or revoked.\n`);
  });

  it('lets the keys of an expired lease go', async () => {
    const id = await grant(2);
    await run('put', `--lease=${id}`, `${p}a`, '1');
    await vi.waitFor(async () => expect(await run('get', `${p}a`)).toBe(''), {
      timeout: 15_000,
      interval: 50,
    });
    expect(await run('lease', 'timetolive', id)).toBe(`lease ${id} already expired\n`);
  });

  it('is refused what it does not know', async () => {
    expect(await refusal('lease', 'revoke', UNKNOWN_LEASE)).toBe(
      'Error: failed to revoke lease (etcdserver: requested lease not found)',
    );
    expect(await refusal('lease', 'keep-alive', '--once', UNKNOWN_LEASE)).toBe(NO_LEASE);
    expect(await run('lease', 'keep-alive', UNKNOWN_LEASE)).toBe(
      `lease ${UNKNOWN_LEASE} expired or revoked.\n`,
    );
    expect(await run('lease', 'timetolive', UNKNOWN_LEASE)).toBe(
      `lease ${UNKNOWN_LEASE} already expired\n`,
    );
    expect(await refusal('lease', 'grant', '9000000001')).toBe(
      'Error: failed to grant lease (etcdserver: too large lease TTL)',
    );
  });
});

/** Waits until so many queue for a lock or an election. */
async function queued(name: string, count: number): Promise<void> {
  await vi.waitFor(async () => {
    expect((await names(`${p}${name}/`, '--prefix')).split(' ').filter(Boolean)).toHaveLength(
      count,
    );
  }, patience);
}

describe('etcdctl lock', () => {
  it('hands a lock over', async () => {
    const key = new RegExp(`^${p}lock/[0-9a-f]+\n\n$`);
    const first = ctl.start('lock', `${p}lock`);
    await first.prints(key);
    const second = ctl.start('lock', `${p}lock`);
    await queued('lock', 2);
    expect(second.output()).toBe('');
    expect(await first.stop()).toMatchObject({ code: 0, stderr: '' });
    await second.prints(key);
    expect(second.output()).not.toBe(first.output());
    expect(await run('get', `${p}lock/`, '--prefix')).toBe(second.output());
    expect(await second.stop()).toMatchObject({ code: 0, stderr: '' });
    expect(await names(p, '--prefix')).toBe('');
  });

  it('passes a lock on when its holder is gone and its lease expires', async () => {
    const first = ctl.start('lock', '--ttl=2', `${p}lock`);
    await first.prints(/\n\n$/);
    const second = ctl.start('lock', `${p}lock`);
    await queued('lock', 2);
    first.kill();
    await second.prints(/\n\n$/);
    expect(await run('get', `${p}lock/`, '--prefix')).toBe(second.output());
    await second.stop();
  });

  it('runs a command while it holds a lock', async () => {
    const command = 'echo "$ETCD_LOCK_KEY $ETCD_LOCK_REV"; exit 3';
    const { code, stdout, stderr } = await ctl.attempt(
      'lock',
      `${p}lock`,
      '--',
      'sh',
      '-c',
      command,
    );
    expect(stdout).toMatch(new RegExp(`^${p}lock/[0-9a-f]+ [1-9]\\d*\n$`));
    expect(stderr).toBe('Error: exit status 3\n');
    // Older ones do not pass the exit code on.
    expect(code).toBe(ctl.has(5) ? 3 : 1);
    expect(await names(p, '--prefix')).toBe('');
  });
});

describe('etcdctl elect', () => {
  it('elects one after the other, and shows who leads', async () => {
    const listener = ctl.start('elect', '--listen', `${p}election`);
    const leader = (name: string): RegExp => new RegExp(`${p}election/[0-9a-f]+\n${name}\n$`);
    const first = ctl.start('elect', `${p}election`, 'one');
    await first.prints(leader('one'));
    await listener.prints(leader('one'));
    const second = ctl.start('elect', `${p}election`, 'two');
    await queued('election', 2);
    expect(second.output()).toBe('');
    expect(await first.stop()).toMatchObject({ code: 0, stderr: '' });
    await second.prints(leader('two'));
    await listener.prints(first.output() + second.output());
    expect(await second.stop()).toMatchObject({ code: 0, stderr: '' });
    expect(await listener.stop()).toMatchObject({ code: 0 });
    expect(await names(p, '--prefix')).toBe('');
  });
});

describe('etcdctl about the cluster', () => {
  /** The cells of a table, whatever its lines are drawn with. */
  const cells = (table: string): Record<string, string>[] => {
    const [header = [], ...rows] = table
      .split('\n')
      .filter((line) => /^[|│]/.test(line))
      .map((line) =>
        line
          .split(/[|│]/)
          .slice(1, -1)
          .map((cell) => cell.trim()),
      );
    return rows.map((row) => Object.fromEntries(row.map((cell, i) => [header[i], cell])));
  };

  it('shows the status of the endpoint', async () => {
    const size = String.raw`[\d.]+ [kMG]?B`;
    const storage = ctl.has(6) ? `(${semver})?, ${size}, ${size}, \\d+%, ${size}, ` : `${size}, `;
    const more = ctl.has(6) ? ', , false' : '';
    expect(await run('endpoint', 'status')).toMatch(
      new RegExp(
        `^${endpoint}, [0-9a-f]+, ${semver}, ${storage}true, false, \\d+, \\d+, \\d+, ${more}\n$`,
      ),
    );
    const [row] = cells(await run('endpoint', 'status', '-w', 'table'));
    expect(row).toMatchObject({
      ENDPOINT: endpoint,
      ID: expect.stringMatching(/^[0-9a-f]+$/) as unknown,
      VERSION: expect.stringMatching(new RegExp(`^${semver}$`)) as unknown,
      'IS LEADER': 'true',
      'IS LEARNER': 'false',
      ERRORS: '',
    });
  });

  it('shows the status of the endpoint as JSON', async () => {
    const before = await put('a', '1');
    const printed = await run('endpoint', 'status', '-w', 'json');
    const [status, ...others] = JSON.parse(printed) as {
      readonly Endpoint: string;
      readonly Status: Readonly<Record<string, unknown>> & {
        readonly header: { revision: number };
      };
    }[];
    expect(others).toEqual([]);
    expect(status?.Endpoint).toBe(endpoint);
    expect(status?.Status.header.revision).toBeGreaterThanOrEqual(before);
    const positive = expect.toSatisfy((value: number) => value > 0) as unknown;
    expect(status?.Status).toMatchObject({
      version: expect.stringMatching(new RegExp(`^${semver}$`)) as unknown,
      dbSize: positive,
      dbSizeInUse: positive,
      raftIndex: positive,
      raftTerm: positive,
      raftAppliedIndex: positive,
    });
    // As text: the numbers are larger than JavaScript can tell apart.
    const [, member] = /"member_id":(\d+)/.exec(printed) ?? [];
    expect(/"leader":(\d+)/.exec(printed)?.[1]).toBe(member);
    expect(await run('endpoint', 'status', '--cluster', '-w', 'json')).toContain(
      `"member_id":${member},`,
    );
  });

  it('finds the endpoint healthy', async () => {
    const healthy = /is healthy: successfully committed proposal: took = [\d.]+[µm]?s\n$/;
    for (const args of [[], ['--cluster']]) {
      // Where it says so depends on its version.
      const { code, stdout, stderr } = await ctl.attempt('endpoint', 'health', ...args);
      expect(stdout + stderr).toMatch(healthy);
      expect(code).toBe(0);
    }
    const json = await run('endpoint', 'health', '-w', 'json');
    expect(json).toContain(`[{"endpoint":"${endpoint}","health":true,"took":"`);
  });

  it('lists the members', async () => {
    const printed = await run('member', 'list');
    const [, id = '', name, peers, clients] =
      /^([0-9a-f]+), started, ([^,]+), ([^ ]*), ([^ ]+), false\n$/.exec(printed) ?? [];
    expect(clients?.split(',')).toContain(endpoint);
    expect(cells(await run('member', 'list', '-w', 'table'))).toEqual([
      {
        ID: id,
        STATUS: 'started',
        NAME: name,
        'PEER ADDRS': peers,
        'CLIENT ADDRS': clients,
        'IS LEARNER': 'false',
      },
    ]);
    const json = await run('member', 'list', '-w', 'json');
    const number = BigInt(`0x${id}`);
    expect(json).toMatch(
      new RegExp(
        `^\\{"header":\\{"cluster_id":\\d+,"member_id":${number},("revision":\\d+,)?"raft_term":\\d+\\},`,
      ),
    );
    expect(json).toContain(`"members":[{"ID":${number},"name":"${name}",`);
    expect(json).toContain(`"clientURLs":["${clients?.split(',').join('","')}"]`);
  });

  it('lists no alarm', async () => {
    expect(await run('alarm', 'list')).toBe('');
  });

  it('hashes the history', async ({ skip }) => {
    const { code, stdout, stderr } = await ctl.attempt('endpoint', 'hashkv');
    skip(stderr.includes('Unimplemented'), 'this server has no hash of its history');
    expect(stdout).toMatch(new RegExp(`^${endpoint}, \\d+(, \\d+)?\n$`));
    expect(code).toBe(0);
  });

  it('tells its version', async () => {
    expect(await run('version')).toMatch(
      new RegExp(`^etcdctl version: ${semver}\nAPI version: 3\\.\\d+\n$`),
    );
  });

  it('mirrors a prefix', async () => {
    await put('from/a', '1');
    ctl.start('make-mirror', `--prefix=${p}from/`, `--dest-prefix=${p}to/`, endpoint);
    const mirrored = async (expected: string): Promise<void> =>
      vi.waitFor(async () => expect(await names(`${p}to/`, '--prefix')).toBe(expected), patience);
    await mirrored('to/a');
    await put('from/b', '2');
    await mirrored('to/a to/b');
    await del('from/a');
    await mirrored('to/b');
  });
});
