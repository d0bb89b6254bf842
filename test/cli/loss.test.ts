import { describe, expect, it } from 'vitest';
import { FaultProxy } from '../../src/embed/index.js';
import { useEtcd } from '../support/etcd.js';
import { type Cli, cliOn, runs } from './support/cli.js';

const etcd = useEtcd();
const cli = cliOn(etcd);

const polite = "trap 'echo asked to end; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
// Neither the command nor its descendant ends when asked to.
const stubborn = `trap '' TERM
sh -c 'while :; do sleep 0.05; done' &
echo "pids $$ $!."
while :; do sleep 0.05; done`;

async function pidsOf(run: Cli): Promise<number[]> {
  const [, outer, inner] = await run.printed(/pids (\d+) (\d+)\./);
  const pids = [Number(outer), Number(inner)];
  etcd.defer(() => {
    for (const pid of pids.filter(runs)) process.kill(pid, 'SIGKILL');
  });
  return pids;
}

describe('a command whose lock is lost', () => {
  it('because its key was deleted is asked to end', async () => {
    const name = etcd.name();
    const run = cli(['lock', name, '--', 'sh', '-c', polite]);
    await run.printed('ready');
    const { holder } = await (await etcd.connect()).mutex(name).inspect();
    await etcd.admin.commit({ success: [{ delete: { key: holder?.key ?? '' } }] });
    expect(await run.ended).toBe(79);
    expect(run.stdout).toBe('ready\nasked to end\n');
    const says = `etcd-recipes: ${holder?.key} is lost (deleted), stopping the command\n`;
    expect(run.stderr.startsWith(says)).toBe(true);
  });

  it.each([
    ['with its descendants', [], [false, false]],
    ['alone in the foreground', ['--foreground'], [false, true]],
  ])('because its lease was revoked is killed %s if it does not end', async (_, options, left) => {
    const name = etcd.name();
    const args = ['--kill-after', '100', ...options];
    const run = cli(['lock', name, ...args, '--', 'sh', '-c', stubborn]);
    const pids = await pidsOf(run);
    const { holder } = await (await etcd.connect()).mutex(name).inspect();
    await etcd.admin.revoke(holder?.lease ?? 0n);
    expect(await run.ended).toBe(79);
    expect(pids.map(runs)).toEqual(left);
  });

  it('because etcd is out of reach is gone before somebody else gets the lock', async () => {
    const name = etcd.name();
    const proxy = await FaultProxy.start(etcd.endpoint);
    etcd.defer(() => proxy.close());
    const args = ['--endpoints', proxy.endpoint, '--ttl', '3000', '--kill-after', '200'];
    const run = cli(['lock', name, ...args, '--', 'sh', '-c', stubborn]);
    const pids = await pidsOf(run);
    const next = (await etcd.connect()).mutex(name).acquire();
    proxy.blackhole();
    await next;
    expect(pids.filter(runs)).toEqual([]);
    expect(await run.ended).toBe(79);
    expect(run.stderr).toMatch(
      /^etcd-recipes: \S+ is lost \(no-contact\), stopping the command\n$/,
    );
  });
});

describe('when etcd-recipes itself is killed', () => {
  it('the command and its descendants are gone before somebody else gets the lock', async () => {
    const name = etcd.name();
    const args = ['--ttl', '3000', '--kill-after', '200'];
    const run = cli(['lock', name, ...args, '--', 'sh', '-c', stubborn]);
    const pids = await pidsOf(run);
    const next = (await etcd.connect()).mutex(name).acquire();
    run.signal('SIGKILL');
    await next;
    expect(pids.filter(runs)).toEqual([]);
  });

  it('the command is asked to end first', async () => {
    const run = cli(['lock', etcd.name(), '--', 'sh', '-c', polite]);
    await run.printed('ready');
    run.signal('SIGKILL');
    await run.printed('asked to end');
  });

  it('the command goes on where there is no sh to end it, which was said', async () => {
    const node = ['-e', 'console.log(`pid ${process.pid}.`); setInterval(() => {}, 1000)'];
    const args = ['lock', etcd.name(), '--', process.execPath, ...node];
    const run = cli(args, { env: { PATH: '/nowhere' } });
    const [, text] = await run.printed(/pid (\d+)\./);
    const pid = Number(text);
    etcd.defer(() => runs(pid) && process.kill(pid, 'SIGKILL'));
    expect(run.stderr).toMatch(/^etcd-recipes: found no sh: /);
    run.signal('SIGKILL');
    await run.ended;
    expect(runs(pid)).toBe(true);
  });
});
