import { type IStatusResponse, MaintenanceClient } from 'etcd3';
import { UnavailableError } from '../store/errors.js';
import type { EndpointHealth, EndpointStatus } from '../store/store.js';
import type { Clock } from '../time/clock.js';
import type { AttemptOptions, Endpoint } from './endpoint.js';
import { failureOf } from './status.js';

/** Any key will do; the first there can be is the cheapest to find missing. */
const anyKey = Buffer.from([0]);

/**
 * Asks one endpoint how it is, and has it prove by a linearizable read that it is in touch with a majority: a member
 * that is cut off from the others still tells its status. Does not reject.
 */
export async function healthOf(
  endpoint: Endpoint,
  clock: Clock,
  options: AttemptOptions,
): Promise<EndpointHealth> {
  const asked = clock.now();
  const timed = async (): Promise<number> => {
    await probe(endpoint, options);
    return clock.now() - asked;
  };
  const [status, latency] = await Promise.allSettled([
    new MaintenanceClient(endpoint).status(options),
    timed(),
  ]);
  const said = status.status === 'fulfilled' ? { status: statusOf(status.value) } : {};
  const { name } = endpoint;
  if (latency.status === 'fulfilled') {
    return { endpoint: name, healthy: true, latency: latency.value, ...said };
  }
  const failures = [failureOf(name, latency.reason)];
  const error = new UnavailableError('not-applied', failures, { cause: latency.reason });
  return { endpoint: name, healthy: false, error, ...said };
}

/** Reads linearizably: succeeds only if the endpoint is in touch with a leader and a majority. */
export async function probe(endpoint: Endpoint, options: AttemptOptions): Promise<void> {
  const probing = { ...options, probe: true };
  await endpoint.kv.range({ key: anyKey, limit: 1, keys_only: true }, probing);
}

function statusOf(reply: IStatusResponse): EndpointStatus {
  return {
    version: reply.version,
    memberId: BigInt(reply.header.member_id),
    leader: BigInt(reply.leader),
    isLearner: reply.isLearner,
    revision: BigInt(reply.header.revision),
    raftTerm: BigInt(reply.raftTerm),
    dbSize: Number(reply.dbSize),
    dbSizeInUse: Number(reply.dbSizeInUse),
    alarms: reply.errors,
  };
}
