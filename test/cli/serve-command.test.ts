import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { run } from '../../src/cli/program.js';
import { serveOptions } from '../../src/cli/serve-options.js';
import { start } from '../../src/embed/index.js';
import { connect, Etcd3Store } from '../../src/index.js';
import { etcdctlFor } from '../e2e/support/etcdctl.js';
import { makeCertificate } from '../embed/process/support/certificates.js';
import { Cli } from './support/cli.js';

const launch = (...args: ConstructorParameters<typeof Cli>): Cli => {
  const cli = new Cli(...args);
  onTestFinished(async () => {
    cli.signal('SIGKILL');
    await cli.ended;
  });
  return cli;
};

/** A server that serves, and its endpoint. */
const serve = async (...options: string[]): Promise<{ cli: Cli; endpoint: string }> => {
  const cli = launch(['serve', ...(options.length > 0 ? options : ['--port', '0'])]);
  const [, endpoint = ''] = await cli.printed(/^(.+)\n/);
  return { cli, endpoint };
};

const newDirectory = async (): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'etcd-recipes-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return dir;
};

const refusalOf = async (args: readonly string[]): Promise<string> => {
  const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    expect(await run(['serve', ...args])).toBe(64);
    expect(said.mock.calls).toHaveLength(1);
    return String(said.mock.calls[0]?.[0]);
  } finally {
    said.mockRestore();
  }
};

describe('serve', () => {
  it('prints where it serves and nothing else, and says that it keeps nothing', async () => {
    const { cli } = await serve();
    expect(cli.stdout).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d*\n$/);
    await vi.waitFor(() => expect(cli.stderr).toMatch(/\n$/));
    expect(cli.stderr).toMatch(
      /^etcd-recipes: for development only: all data is in memory, and lost when this ends; .*\n$/,
    );
  });

  it('lets processes share a lock, one at a time', async () => {
    const { endpoint } = await serve();
    const env = { ETCDCTL_ENDPOINTS: endpoint };
    const wait = 'while [ ! -e "$0" ]; do sleep 0.05; done';
    const done = join(await newDirectory(), 'done');
    const first = launch(['lock', 'x', '--', 'sh', '-c', `echo in; ${wait}`, done], { env });
    await first.printed('in');
    const second = launch(['lock', 'x', '--', 'echo', 'in'], { env });
    await vi.waitFor(
      async () => {
        const inspect = launch(['inspect', 'x', '--json'], { env });
        expect(await inspect.ended).toBe(0);
        expect(JSON.parse(inspect.stdout)).toMatchObject({
          waiters: [{ pid: second.process.pid }],
        });
      },
      { timeout: 30_000 },
    );
    expect(second.stdout).toBe('');
    await writeFile(done, '');
    expect([await first.ended, await second.ended, second.stdout]).toEqual([0, 0, 'in\n']);
  });

  it('gives a lock to the next when the lease of its holder runs out', async () => {
    const { endpoint } = await serve();
    const env = { ETCDCTL_ENDPOINTS: endpoint };
    const first = launch(['lock', 'x', '--ttl', '2000'], { env });
    await first.printed('token');
    const second = launch(['lock', 'x', '--', 'echo', 'in'], { env });
    first.signal('SIGKILL');
    expect([await second.ended, second.stdout]).toEqual([0, 'in\n']);
  });

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'ends with status 0 on %s, with clients connected',
    async (signal) => {
      const { cli, endpoint } = await serve();
      const store = new Etcd3Store({ endpoints: [endpoint] });
      onTestFinished(() => store.close());
      const watch = store.watch({ key: 'k' }, { events() {}, gap() {}, closed() {} });
      await watch.ready;
      cli.signal(signal);
      expect(await cli.ended).toBe(0);
      expect(cli.stderr.trim().split('\n')).toHaveLength(1);
    },
  );

  it('says how to choose another port if that one is in use', async () => {
    await using other = await start();
    const { port } = new URL(other.endpoints[0] ?? '');
    const cli = launch(['serve', '--port', port]);
    expect(await cli.ended).toBe(69);
    expect([cli.stdout, cli.stderr]).toEqual([
      '',
      `etcd-recipes: http://127.0.0.1:${port} is in use: choose another port with --port, or --port 0 for a free one\n`,
    ]);
  });

  it('says what is wrong with an address that is not that of this machine', async () => {
    const cli = launch(['serve', '--port', '0', '--host', '192.0.2.1']);
    expect(await cli.ended).toBe(69);
    expect(cli.stderr).toBe('etcd-recipes: cannot listen on http://192.0.2.1:0: EADDRNOTAVAIL\n');
  });

  it('serves on a socket, and removes it at the end', async () => {
    const path = join(await newDirectory(), 'etcd.sock');
    const { cli, endpoint } = await serve('--socket', relative('.', path));
    expect(endpoint).toBe(`unix:${path}`);
    const env = { ETCDCTL_ENDPOINTS: endpoint };
    const lock = launch(['lock', 'x', '--', 'echo', 'in'], { env });
    expect([await lock.ended, lock.stdout]).toEqual([0, 'in\n']);
    cli.signal('SIGTERM');
    expect([await cli.ended, existsSync(path)]).toEqual([0, false]);
  });

  it('serves etcdctl on a port, and a recent one on a socket', async () => {
    const onPort = etcdctlFor((await serve()).endpoint);
    expect(await onPort.run('put', 'k', 'v')).toBe('OK\n');
    const path = join(await newDirectory(), 'etcd.sock');
    const { endpoint } = await serve('--socket', path);
    // Older ones name the server in a way that Node refuses.
    if (onPort.has(5)) await etcdctlFor(endpoint).run('put', 'k', 'v');
  });

  it('says what to do about a socket that is there already', async () => {
    const path = join(await newDirectory(), 'etcd.sock');
    const { cli } = await serve('--socket', path);
    cli.signal('SIGKILL');
    await cli.ended;
    const next = launch(['serve', '--socket', path]);
    expect(await next.ended).toBe(69);
    expect(next.stderr).toBe(
      `etcd-recipes: unix:${path} is in use, or left behind by a process that was killed: remove it, or choose another with --socket\n`,
    );
  });

  it('serves with TLS, and only to clients with a certificate if told so', async () => {
    const { cert, key } = makeCertificate(await newDirectory());
    const tls = ['--cert', cert, '--key', key, '--cacert', cert, '--client-cert-auth'];
    const { endpoint } = await serve('--port', '0', ...tls);
    expect(endpoint).toMatch(/^https:/);
    const where = ['--endpoints', endpoint, '--cacert', cert];
    const known = launch(['inspect', 'x', ...where, '--cert', cert, '--key', key]);
    const unknown = launch(['inspect', 'x', ...where]);
    expect([await known.ended, known.stdout]).toEqual([0, 'nobody holds x\n']);
    expect(await unknown.ended).toBe(69);
  });

  it('keeps as much history as it is told to', async () => {
    const { endpoint } = await serve('--port', '0', '--keep-revisions', '10');
    await using coordinator = await connect({ endpoints: [endpoint] });
    const { store } = coordinator;
    let revision = 0n;
    for (let n = 0; n < 200; n += 1) {
      ({ revision } = await store.commit({ success: [{ put: { key: 'k', value: '' } }] }));
    }
    await store.read({ key: 'k', revision: revision - 10n });
    const early = store.read({ key: 'k', revision: 2n });
    await expect(early).rejects.toThrow('required revision has been compacted');
  });
});

describe('the options of serve', () => {
  const flags = { port: 2379, host: '127.0.0.1', keepRevisions: 100_000 };

  it('are port 2379 of loopback and 100,000 revisions if nothing is said', () => {
    expect(serveOptions(flags)).toEqual({
      listenClientUrls: ['http://127.0.0.1:2379'],
      autoCompaction: { mode: 'revision', retention: 100_000 },
    });
  });

  it.each([
    ['0.0.0.0', 'http://0.0.0.0:2379'],
    ['localhost', 'http://localhost:2379'],
    ['::1', 'http://[::1]:2379'],
    ['FE80::1', 'http://[fe80::1]:2379'],
  ])('take the address %s', (host, url) => {
    expect(serveOptions({ ...flags, host }).listenClientUrls).toEqual([url]);
  });

  it('keep all history if told to', () => {
    expect(serveOptions({ ...flags, keepRevisions: 0 }).autoCompaction).toBeUndefined();
  });

  const long = `/tmp/${'a'.repeat(99)}`;

  it.each([
    [['--port', '65536'], "--port must be a whole number from 0 to 65535, got '65536'"],
    [['--port', '-1'], "--port must be a whole number from 0 to 65535, got '-1'"],
    [['--host', 'example.com'], "--host must be an IP address or localhost, got 'example.com'"],
    [['--host', 'fe80::1%lo'], "--host must be an IP address or localhost, got 'fe80::1%lo'"],
    [['--socket', ''], "--socket must be a path of at most 103 bytes, got ''"],
    [['--socket', long], `--socket must be a path of at most 103 bytes, got '${long}'`],
    [
      ['--socket', '/no/such'],
      "--socket must be a path in a directory that exists, got '/no/such'",
    ],
    [
      ['--socket', '/tmp/x', '--port', '1'],
      "option '--socket <path>' cannot be used with option '--port <n>'",
    ],
    [['--keep-revisions', 'all'], '--keep-revisions must be a whole number from 0 to '],
    [['--cert', 'x'], "TLS must be given both --cert and --key, got '--cert'"],
    [['--client-cert-auth'], "TLS must be given both --cert and --key, got '--client-cert-auth'"],
    [['--cert', '/no', '--key', '/no'], "--cert must be a readable file (ENOENT), got '/no'"],
    [['2390'], "too many arguments for 'serve'. Expected 0 arguments but got 1."],
    [['--', 'ls'], "serve must be used without a command, got [ 'ls' ]"],
  ])('are not %j', async (args, message) => {
    expect(await refusalOf(args)).toContain(`etcd-recipes: ${message}`);
  });

  it('are not files that are no certificate, or not its key', async () => {
    const dir = await newDirectory();
    const { cert, key } = makeCertificate(dir);
    const foreign = join(dir, 'foreign.pem');
    execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', foreign]);
    expect(await refusalOf(['--cert', key, '--key', key])).toContain(
      '--cert must be a file with a certificate in PEM form',
    );
    expect(await refusalOf(['--cert', cert, '--key', foreign])).toContain(
      '--key must be a file with the private key of --cert in PEM form',
    );
    expect(await refusalOf(['--cert', cert, '--key', key, '--cacert', key])).toContain(
      '--cacert must be a file with a certificate in PEM form',
    );
  });
});
