import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { connectionOptions } from '../../src/cli/connection-options.js';
import { graceOf, type LockFlags, sessionOptions } from '../../src/cli/lock-options.js';
import { milliseconds } from '../../src/cli/numbers.js';
import { run } from '../../src/cli/program.js';
import { start } from '../../src/embed/index.js';
import { ArgumentError } from '../../src/index.js';
import { Cli } from './support/cli.js';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe('the command line', () => {
  it.each([
    [
      'a duration with a unit',
      ['lock', 'x', '--wait', '5s'],
      "--wait must be a whole number of milliseconds from 0 to 2147483647, got '5s'",
    ],
    [
      'both --try and --wait',
      ['lock', 'x', '--try', '--wait', '5'],
      "option '--try' cannot be used with option '--wait <ms>'",
    ],
    ['a command without --', ['lock', 'x', 'ls'], "the command must be given after --, got 'ls'"],
    ['a payload that is no JSON', ['join', 'x', 'a'], "PAYLOAD must be JSON, got 'a'"],
    [
      'an option we do not have',
      ['lock', 'x', '--tll', '5'],
      "unknown option '--tll'\n(Did you mean --ttl?)",
    ],
  ])('with %s is refused in one message', async (_, args, message) => {
    const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    expect(await run(args)).toBe(64);
    expect(said.mock.calls).toEqual([[`etcd-recipes: ${message}\n`]]);
  });

  it('that says nothing is answered with help', async () => {
    const cli = new Cli([]);
    expect(await cli.ended).toBe(64);
    expect(cli.stderr).toMatch(/^Usage: etcd-recipes /);
    expect(cli.stdout).toBe('');
  });

  it('tells its version', async () => {
    const file = new URL('../../package.json', import.meta.url);
    const { version } = JSON.parse(await readFile(file, 'utf8')) as { version: string };
    const cli = new Cli(['--version']);
    expect(await cli.ended).toBe(0);
    expect(cli.stdout).toBe(`${version}\n`);
  });

  it('explains itself, with examples and exit statuses', async () => {
    const cli = new Cli(['lock', '--help']);
    expect(await cli.ended).toBe(0);
    expect(cli.stdout).toMatch(
      /^Usage: etcd-recipes lock NAME \[options\] \[-- command args...\]\n/,
    );
    expect(cli.stdout).toContain('Examples:');
    expect(cli.stdout).toContain('Exit status:');
  });
});

describe('a duration', () => {
  it('is a whole number of milliseconds', () => {
    expect(milliseconds('--wait')('1500')).toBe(1_500);
  });

  it.each(['', '-1', '1.5', '1e3', '0x10', ' 5', '5s', '2147483648'])('is not %j', (text) => {
    expect(() => milliseconds('--wait')(text)).toThrow(ArgumentError);
  });

  it('is not less than its least', () => {
    expect(() => milliseconds('--ttl', 1_000)('999')).toThrow(
      "--ttl must be a whole number of milliseconds from 1000 to 2147483647, got '999'",
    );
  });
});

describe('the time a command has to end after a loss', () => {
  const flags = (ttl: number, killAfter?: number): LockFlags => ({
    layout: 'recipes',
    ttl,
    ...(killAfter !== undefined && { killAfter }),
  });

  it('is a sixth of the TTL, which the margin of the session has room for anyway', () => {
    expect(graceOf(flags(15_000))).toBe(2_500);
    expect(sessionOptions(flags(15_000))).toEqual({ ttl: 15_000 });
  });

  it('makes the session give up earlier if it is longer', () => {
    expect(sessionOptions(flags(15_000, 5_000))).toEqual({ ttl: 15_000, margin: 6_000 });
  });

  it('fits the TTL', () => {
    expect(() => sessionOptions(flags(15_000, 6_250))).toThrow(
      '--kill-after must be less than 6250 with a --ttl of 15000, got 6250',
    );
  });
});

describe('the connection', () => {
  it('is to this machine if nothing is said', () => {
    vi.stubEnv('ETCDCTL_ENDPOINTS', '');
    expect(connectionOptions({})).toEqual({ endpoints: ['127.0.0.1:2379'] });
  });

  it('is as the environment of etcdctl says, unless the command line says otherwise', () => {
    vi.stubEnv('ETCDCTL_ENDPOINTS', 'a:1, b:2');
    vi.stubEnv('ETCDCTL_USER', 'me');
    vi.stubEnv('ETCDCTL_PASSWORD', 'secret');
    const auth = { user: 'me', password: 'secret' };
    expect(connectionOptions({})).toEqual({ endpoints: ['a:1', 'b:2'], auth });
    expect(connectionOptions({ endpoints: 'c:3', user: 'you:x:y' })).toEqual({
      endpoints: ['c:3'],
      auth: { user: 'you', password: 'x:y' },
    });
  });

  it.each([
    [
      { endpoints: 'a:1,' },
      "endpoints must be host:port, http://host:port, https://host:port or unix:/path, got ''",
    ],
    [{ cacert: '/no/such' }, "--cacert must be a readable file (ENOENT), got '/no/such'"],
    [
      { user: 'secret' },
      "--user must be name:password, or a name with ETCDCTL_PASSWORD set, got '...'",
    ],
    [{ namespace: '' }, "--namespace must be a non-empty prefix, got ''"],
  ])('is refused as %o', (flags, message) => {
    expect(() => connectionOptions(flags)).toThrow(message);
  });

  it('to nobody fails with what each endpoint said', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const endpoint = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.close();
    const cli = new Cli(['lock', 'x', '--endpoints', endpoint, '--', 'echo', 'ran']);
    expect(await cli.ended).toBe(69);
    expect(cli.stdout).toBe('');
    expect(cli.stderr).toMatch(`etcd-recipes: etcd is unavailable (${endpoint}: `);
    expect(cli.stderr.trim().split('\n')).toHaveLength(1);
  });

  it('uses certificates and passwords', async () => {
    const auth = { password: 'secret' };
    await using cluster = await start({
      engine: 'etcd',
      tls: 'auto',
      auth,
      bcryptCost: 4,
      unsafeNoFsync: true,
    });
    const dir = await mkdtemp(join(tmpdir(), 'etcd-recipes-'));
    try {
      const ca = join(dir, 'ca.pem');
      await writeFile(ca, cluster.ca ?? '');
      const where = ['--endpoints', cluster.endpoints.join(','), '--cacert', ca];
      const env = { ETCDCTL_USER: 'root:secret' };
      const good = new Cli(['lock', 'x', ...where, '--', 'echo', 'ran'], { env });
      const bad = new Cli(['inspect', 'x', ...where, '--user', 'root:wrong'], { env });
      expect([await good.ended, good.stdout]).toEqual([0, 'ran\n']);
      expect([await bad.ended, bad.stdout]).toEqual([77, '']);
      expect(bad.stderr).toMatch(/^etcd-recipes: etcd refused: .*invalid user ID or password.*\n$/);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
