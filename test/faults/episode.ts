import { setTimeout as sleep } from 'node:timers/promises';
import type { EtcdMember } from '../../src/embed/index.js';
import { connect } from '../../src/index.js';
import { waitFor } from '../../src/testing/index.js';
import type { Expectation, Fault, Target } from './fault.js';
import type { Site } from './site.js';
import { type Running, runAll, type VerbName, verbNames } from './verbs.js';

/** What became of one verb under one fault. */
export interface Cell {
  readonly verb: VerbName;
  readonly expected: Expectation;
  /** Each failure, and how often. */
  readonly failures: ReadonlyMap<string, number>;
  /** The longest time without a success, in milliseconds: from the fault, or for an outage from its end. */
  readonly pause: number;
  /** What is not as it must be. */
  readonly wrong: readonly string[];
}

/** What became of all verbs under one fault. */
export interface Episode {
  readonly fault: Fault;
  readonly cells: readonly Cell[];
  /** What is not as it must be, of nobody in particular: what was left behind, errors that nobody handled. */
  readonly wrong: readonly string[];
}

/** How often each verb succeeds before the fault, in a row. */
const warm = 5;
/** How long to wait for all to work again. */
const patience = 15_000;
let number = 0;

/** Has all verbs run, a fault strike and heal, and all verbs come to rest. */
export async function runEpisode(site: Site, fault: Fault): Promise<Episode> {
  const unhandled: string[] = [];
  const hear = (error: unknown): number => unhandled.push(`nobody handled ${String(error)}`);
  process.on('unhandledRejection', hear);
  number += 1;
  const prefix = `fault-${number}/`;
  try {
    const cells = await inflict(site, fault, prefix);
    const leftovers = await leftBehind(site);
    await site.admin.commit({ success: [{ delete: { key: '\0', end: '\0' } }] });
    return { fault, cells, wrong: [...unhandled, ...leftovers] };
  } finally {
    process.off('unhandledRejection', hear);
  }
}

async function inflict(site: Site, fault: Fault, prefix: string): Promise<Cell[]> {
  const { lasts = 1_500, ttl = 5_000, timeout = 5_000, uses = 'leader' } = fault;
  const leads = await site.leader();
  const place = uses === 'leader' ? leads : (leads + 1) % site.members.length;
  const { proxies } = site;
  // It stays with the first as long as that answers.
  const endpoints = proxies.map((_, i) => proxies[(place + i) % proxies.length]?.endpoint ?? '');
  const stop = new AbortController();
  const session = { ttl };
  await using coordinator = await connect({ ...site.options, endpoints, timeout, session });
  const verbs = runAll({ coordinator, prefix, timeout, stop: stop.signal });
  const target: Target = {
    site,
    coordinator,
    prefix,
    place,
    used: site.members[place] as EtcdMember,
    proxy: proxies[place] as Target['proxy'],
    leader: site.members[leads] as EtcdMember,
  };
  await allSucceed(verbs, 0, warm);
  const began = performance.now();
  let healed = began;
  try {
    await fault.strike(target);
    await sleep(lasts);
  } finally {
    healed = performance.now();
    await fault.heal?.(target);
    await site.heal();
  }
  // What does not come back has a pause that is as long.
  await allSucceed(verbs, performance.now(), 1).catch(() => {});
  const stopped = performance.now();
  stop.abort();
  await Promise.race([Promise.all(verbNames.map((verb) => verbs[verb].done)), sleep(patience)]);
  const ended = performance.now();
  return Promise.all(
    verbNames.map(async (verb) => {
      const { log, check } = verbs[verb];
      const expected = fault.expect(verb);
      const failures = log.failuresSince(began);
      const pause = log.pauseBetween(fault.outage ? healed : began, stopped);
      const broken = [...log.overdue(ended), ...(await check(site.admin))];
      const wrong = [...broken, ...disappointments(expected, failures, pause)];
      return { verb, expected, failures, pause, wrong };
    }),
  );
}

async function allSucceed(
  verbs: Record<VerbName, Running>,
  since: number,
  times: number,
): Promise<void> {
  await Promise.all(
    verbNames.map((verb) =>
      // The session is renewed seldom, and has one success at once.
      waitFor(() => verbs[verb].log.successesAfter(since) >= (verb === 'session' ? 1 : times), {
        timeout: patience,
      }),
    ),
  );
}

function disappointments(
  expected: Expectation,
  failures: Cell['failures'],
  pause: number,
): string[] {
  const wrong: string[] = [];
  const allowed = new Set<string>();
  if (expected.is === 'rejects') for (const code of expected.with) allowed.add(code);
  if (expected.is === 'lost') for (const reason of expected.reasons) allowed.add(`lost: ${reason}`);
  if (allowed.size > 0 && ![...allowed].some((failure) => failures.has(failure))) {
    wrong.push(`nothing was ${[...allowed].join(' or ')}`);
  }
  if (expected.is === 'goes on') for (const code of expected.mayFailWith ?? []) allowed.add(code);
  // Until it is clear that nobody answers in time.
  if (allowed.has('lost: no-contact')) allowed.add('ERR_UNAVAILABLE').add('ERR_WAIT_TIMEOUT');
  for (const failure of failures.keys()) if (!allowed.has(failure)) wrong.push(failure);
  if (pause > expected.within) {
    wrong.push(`a pause of ${Math.round(pause)} ms, and not of ${expected.within} ms at most`);
  }
  return wrong;
}

/** What is there though everybody has left: keys that are not data, and leases. */
async function leftBehind(site: Site): Promise<string[]> {
  let left: string[] = [];
  const look = async (): Promise<boolean> => {
    const { leases = [] } = await site.call<{ leases?: { ID: string }[] }>('/v3/lease/leases', {});
    const { kvs } = await site.admin.read({ key: '\0', end: '\0', keysOnly: true });
    const keys = kvs.map(({ key }) => key.toString()).filter((key) => !key.startsWith('fault-'));
    left = [...leases.map(({ ID }) => `lease ${ID} was left behind`), ...keys.map(leftKey)];
    return left.length === 0;
  };
  await waitFor(look, { timeout: 5_000 }).catch(() => {});
  return left;
}

const leftKey = (key: string): string => `key ${key} was left behind`;
