import { describe, expect, it, vi } from 'vitest';
import type { Receipt } from '../../src/index.js';
import { useEtcd } from '../support/etcd.js';
import { cliOn } from './support/cli.js';

const etcd = useEtcd();
const cli = cliOn(etcd);
const patience = { timeout: 60_000, interval: 200 };

async function printedBy(args: readonly string[], status = 0): Promise<string> {
  const run = cli(['queue', ...args]);
  expect(await run.ended).toBe(status);
  return run.stdout;
}

describe('queue', () => {
  it('takes what was put, once', async () => {
    const name = etcd.name('queue');
    await printedBy(['put', name, 'second']);
    const put = JSON.parse(await printedBy(['put', name, 'first', '--priority', '1', '--json']));
    expect(put).toMatchObject({ name, id: expect.stringMatching(/^1-/) as string });
    const next = JSON.parse(await printedBy(['next', name, '--json']));
    expect(next).toEqual({ id: put.id, value: 'first', attempt: 1 });
    expect(await printedBy(['next', name])).toBe('second\n');
    await printedBy(['next', name, '--try'], 75);
    await printedBy(['next', name, '--wait', '50'], 75);
    expect(await etcd.count(`queue/${name}/ready/`)).toBe(0);
  });

  it('runs a command for each job, and heeds how it ends', async () => {
    const name = etcd.name('queue');
    const jobs = (await etcd.connect()).queue(name);
    await jobs.putMany(['good', 'bad', 'worse']);
    const script = `read -r value; echo "$value $ETCD_RECIPES_ATTEMPT"
      case $value in *good*) exit 0;; *bad*) exit 65;; *) exit 3;; esac`;
    const run = cli([
      'queue',
      'work',
      name,
      '--attempts',
      '1',
      '--drain',
      '--',
      'sh',
      '-c',
      script,
    ]);
    expect(await run.ended).toBe(0);
    expect(run.stdout).toBe('"good" 1\n"bad" 1\n"worse" 1\n');
    expect(run.stderr).toContain('exit status 3');
    expect(await etcd.count(`queue/${name}/ready/`)).toBe(0);
    expect(await etcd.count(`queue/${name}/dead/`)).toBe(2);
  });

  it('reads a value that comes late on standard input', async () => {
    const name = etcd.name('queue');
    const slow = ['sh', '-c', '(sleep 1; printf late) | "$@"', 'sh'];
    expect(await cli(['queue', 'put', name], { under: slow }).ended).toBe(0);
    expect(await printedBy(['next', name])).toBe('late\n');
  });

  it.each(['SIGWINCH', 'SIGUSR1', 'SIGUSR2'] as const)(
    'goes on where it gets %s, which does not ask it to end',
    async (signal) => {
      const name = etcd.name('queue');
      const jobs = (await etcd.connect()).queue(name);
      await jobs.put('one');
      const run = cli([
        'queue',
        'work',
        name,
        '--',
        'sh',
        '-c',
        'read -r job; echo "$job"; sleep 1',
      ]);
      await run.printed('one');
      run.signal(signal);
      await jobs.put('two');
      await run.printed('two');
      run.signal(signal);
      await jobs.put('three');
      await run.printed('three');
      await jobs.drained();
      expect(run.stderr).toBe('');
    },
  );

  it('ends what it has begun at the first interrupt', async () => {
    const name = etcd.name('queue');
    const jobs = (await etcd.connect()).queue(name);
    await jobs.putMany([1, 2]);
    const run = cli(['queue', 'work', name, '--', 'sh', '-c', 'echo begun; sleep 1; echo ended']);
    await run.printed('begun');
    run.signal('SIGTERM');
    expect(await run.ended).toBe(0);
    expect(run.stdout).toBe('begun\nended\n');
    expect((await jobs.next()).value).toBe(2);
  });

  it('stops the command of a job at the second interrupt, and gives the job back', async () => {
    const name = etcd.name('queue');
    const jobs = (await etcd.connect()).queue(name);
    await jobs.put(1);
    const run = cli(['queue', 'work', name, '--', 'sh', '-c', 'echo begun; exec sleep 60']);
    await run.printed('begun');
    run.signal('SIGTERM');
    await vi.waitFor(() => expect(run.stderr).toContain('interrupt again'), patience);
    run.signal('SIGTERM');
    expect(await run.ended).toBe(0);
    expect(await jobs.tryNext()).toMatchObject({ value: 1, attempt: 1 });
  });

  it('leaves the jobs alone where there is no such command', async () => {
    const name = etcd.name('queue');
    const jobs = (await etcd.connect()).queue(name);
    await jobs.put(1);
    await printedBy(['work', name, '--', '/no/such/command'], 127);
    expect(await jobs.tryNext()).toMatchObject({ value: 1, attempt: 1 });
    await printedBy(['work', name], 64);
  });

  it('shows what there is, and looks after it', { timeout: 120_000 }, async () => {
    const name = etcd.name('queue');
    const jobs = (await etcd.connect()).queue<string>(name);
    const [{ id: first }, { id: second }] = (await jobs.putMany(['a', 'b'])) as [Receipt, Receipt];
    await (await jobs.next()).deadLetter('too bad');
    const stats = async (): Promise<unknown> =>
      JSON.parse(await printedBy(['stats', name, '--json']));
    expect(await stats()).toMatchObject({ depth: 1, ready: 1, dead: 1, isPaused: false });
    expect(await printedBy(['list', name])).toContain(second);
    const dead = JSON.parse(await printedBy(['list', name, '--state', 'dead', '--json']));
    expect(dead).toMatchObject({ id: first, reason: 'too bad', value: '"a"' });
    await printedBy(['redrive', name], 64);
    expect(await printedBy(['redrive', name, first])).toBe('redriven  1\n');
    expect(await printedBy(['pause', name, '--reason', 'lunch'])).toBe('changed  true\n');
    expect(await stats()).toMatchObject({ depth: 2, dead: 0, isPaused: true });
    await printedBy(['next', name, '--try'], 75);
    expect(await printedBy(['resume', name])).toBe('changed  true\n');
    expect(JSON.parse(await printedBy(['cancel', name, second, '--json']))).toEqual({
      id: second,
      was: 'ready',
    });
    await (await jobs.next()).deadLetter('again');
    expect(await printedBy(['purge', name, '--all'])).toBe('purged  1\n');
    const watch = cli(['queue', 'watch', name, '--json']);
    await vi.waitFor(async () => {
      await jobs.put('c');
      expect(watch.stdout).toContain('"type":"put"');
    }, patience);
    watch.signal('SIGTERM');
    expect(await watch.ended).toBe(0);
  });
});
