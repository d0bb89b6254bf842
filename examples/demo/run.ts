import { setTimeout as sleep } from 'node:timers/promises';
import { counterKey, readCounter } from './counter.js';
import { paint } from './format.js';
import { Ledger } from './ledger.js';
import { now } from './messages.js';
import { type Scene, unleash } from './nemesis.js';
import { report } from './report.js';
import type { Stage } from './stage.js';
import { Team } from './team.js';
import { judge, type Remains } from './verdict.js';
import { View } from './view.js';

const WORKERS = 4;
const FAULTS = 3;
/** The least that etcd grants: after a fault the others wait as long. */
const TTL = 2_000;
/** What three faults take. */
const SHORTEST = 9_000;
/** The least time without a fault. */
const CALM = 500;
const FINISH_WITHIN = 15_000;
const HURRY_WITHIN = 3_000;

/** Runs the demonstration for at least `planned` milliseconds; says whether everything promised was true. */
export async function run(planned: number, stage: Stage, signal: AbortSignal): Promise<boolean> {
  const ledger = new Ledger();
  const { endpoints, prefix } = stage;
  const team = new Team({ endpoints, prefix, ttl: TTL }, (section) => ledger.add(section));
  // However we end: a worker that is stopped would stay.
  const killAll = (): void => void team.kill();
  process.once('exit', killAll);
  try {
    console.log(paint.dim(`    -    starting ${WORKERS} workers`));
    await Promise.all(Array.from({ length: WORKERS }, () => team.add(signal)));
    const started = now();
    const complaints = await work(planned, { stage, team, ledger, signal });
    const elapsed = now() - started;
    const remains = await readRemains(stage, [
      ...complaints,
      ...(await team.finish(FINISH_WITHIN)),
    ]);
    const checks = judge(ledger, remains);
    for (const line of report(ledger, remains, checks, elapsed)) console.log(line);
    return checks.every(({ violations }) => violations.length === 0);
  } finally {
    if (signal.aborted) await team.finish(HURRY_WITHIN);
    await team.kill();
    process.off('exit', killAll);
  }
}

/** Lets them work while the nemesis is at it; says what could not be done. */
async function work(
  planned: number,
  { stage, ...others }: Pick<Scene, 'team' | 'ledger' | 'signal'> & { readonly stage: Stage },
): Promise<string[]> {
  const mutex = stage.room.mutex('counters');
  const { ledger, signal } = others;
  const view = new View({ ledger, mutex, planned: Math.max(planned, SHORTEST) });
  const started = now();
  const time = (due: number): Promise<void> =>
    sleep(Math.max(CALM, started + due - now()), undefined, { signal });
  try {
    const scene = { ...others, mutex, tell: (what: string) => view.tell(what) };
    const complaints = await unleash(scene, (n) => time(((n + 0.25) * planned) / FAULTS)).then(
      () => [],
      (error: unknown) => {
        signal.throwIfAborted();
        return [(error as Error).message];
      },
    );
    await time(planned);
    return complaints;
  } finally {
    view.close();
  }
}

async function readRemains(stage: Stage, complaints: readonly string[]): Promise<Remains> {
  const { store } = stage.room;
  const [guarded, plain] = await Promise.all([
    readCounter(store, 'guarded'),
    readCounter(store, 'plain'),
  ]);
  const counters = new Set([counterKey('guarded'), counterKey('plain')]);
  const keys = (await stage.keys()).filter((key) => !counters.has(key));
  return { values: { guarded, plain }, keys, complaints };
}
