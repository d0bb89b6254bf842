import { setTimeout as sleep } from 'node:timers/promises';
import type { Mutex } from '../../src/index.js';
import { duration, paint } from './format.js';
import { freeze } from './freeze.js';
import type { Fault, Ledger } from './ledger.js';
import { type Kind, now, type Section } from './messages.js';
import type { Team } from './team.js';
import type { WorkerProcess } from './worker-process.js';

const POLL = 20;
const AIM_ATTEMPTS = 5;
/** So many increments of each kind happen while a worker is stopped: what a late plain write undoes. */
const MISSED = 10;

/** What the nemesis works with. */
export interface Scene {
  readonly team: Team;
  readonly ledger: Ledger;
  readonly mutex: Mutex;
  readonly signal: AbortSignal;
  /** Tells the audience. */
  readonly tell: (what: string) => void;
}

interface Target {
  readonly worker: WorkerProcess;
  readonly token: bigint;
  readonly aimed: boolean;
}

/**
 * Does to holders, in the middle of a section, what happens to processes in production: one is killed, two
 * are stopped for longer than their sessions live and then go on as if nothing had happened.
 *
 * @param begin - starts the next fault: resolves when it is time for it
 */
export async function unleash(scene: Scene, begin: (n: number) => Promise<void>): Promise<void> {
  await begin(0);
  await killHolder(scene, 'guarded');
  await begin(1);
  await pauseHolder(scene, 'guarded');
  await begin(2);
  await pauseHolder(scene, 'plain');
}

async function killHolder(scene: Scene, kind: Kind): Promise<void> {
  const { team, tell, signal } = scene;
  const { worker, ...hit } = await aim(scene, kind);
  const fault: Fault = { signal: 'SIGKILL', kind, worker: worker.name, at: now(), ...hit };
  worker.kill();
  tell(`${paint.red('SIGKILL')} ${worker.name} while it holds the lock, before its ${kind} write`);
  scene.ledger.faults.push(fault);
  const replacement = team.add(signal);
  await recovered(scene, fault);
  tell(`${(await replacement).name} replaces ${worker.name}`);
}

async function pauseHolder(scene: Scene, kind: Kind): Promise<void> {
  const { ledger, tell } = scene;
  const { worker, ...hit } = await aim(scene, kind);
  const fault: Fault = { signal: 'SIGSTOP', kind, worker: worker.name, at: now(), ...hit };
  const thaw = await freeze(worker.pid);
  tell(
    `${paint.yellow('SIGSTOP')} ${worker.name} while it holds the lock, before its ${kind} write`,
  );
  ledger.faults.push(fault);
  try {
    await recovered(scene, fault);
    const missed = (of: Kind): number => ledger.acknowledgedAfter(fault.token, of);
    await until(
      scene,
      'others work on',
      () => Math.min(missed('guarded'), missed('plain')) >= MISSED,
    );
    // Waits in its pipe: it is the first thing that the worker will read when it runs again.
    worker.proceed();
  } finally {
    thaw();
  }
  tell(
    `${paint.cyan('SIGCONT')} ${worker.name} after ${duration(now() - fault.at)}: it goes on to write`,
  );
  await until(scene, 'the late write', () => ledger.sectionOf(fault.token) !== undefined);
  tell(`its late ${kind} write is ${verdictOn(ledger.sectionOf(fault.token))}`);
}

function verdictOn(late: Section | undefined): string {
  if (late?.outcome === 'refused') {
    const why = late.error?.replace(/^\S+ /, 'the hold ');
    return `${paint.green('refused')}: ${why}`;
  }
  const harm = late?.outcome === 'acknowledged' ? ', over what others wrote meanwhile' : '';
  return `${paint.yellow(late?.outcome ?? 'never made')}${harm}`;
}

/** Has a worker linger between read and write, and asks etcd whether it really is the holder. */
async function aim({ team, mutex, signal }: Scene, kind: Kind): Promise<Target> {
  for (let attempt = 1; ; attempt += 1) {
    const worker = team.pick();
    const token = await worker.linger(kind, signal);
    const { holder } = await mutex.inspect({ signal });
    const aimed = holder?.token === token && holder.owner?.pid === worker.pid;
    if (aimed || attempt === AIM_ATTEMPTS) return { worker, token, aimed };
    worker.proceed();
  }
}

async function recovered(scene: Scene, fault: Fault): Promise<void> {
  const { ledger, tell } = scene;
  await until(scene, 'somebody else has the lock', () => ledger.recovery(fault) !== undefined);
  const next = ledger.nextAfter(fault.token);
  tell(`${next?.worker} has the lock, ${duration(ledger.recovery(fault) ?? 0)} after the fault`);
}

/** @throws Error if it has not come true long after every lease of before has ended. */
async function until({ team, signal }: Scene, what: string, isTrue: () => boolean): Promise<void> {
  const limit = now() + 3 * team.ttl + 10_000;
  while (!isTrue()) {
    if (now() > limit) throw new Error(`waited in vain: ${what}`);
    await sleep(POLL, undefined, { signal });
  }
}
