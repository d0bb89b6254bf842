import { credentials, type MethodDefinition, type ServiceDefinition } from '@grpc/grpc-js';
import type { Services } from 'etcd3';
import { Host } from 'etcd3/lib/connection-pool.js';

/** A call as etcd3's definition of the API has it: its path, and how its messages are written and read. */
export type Method = Pick<
  MethodDefinition<unknown, unknown>,
  'path' | 'requestSerialize' | 'responseDeserialize'
>;

const known = new Map<string, Readonly<Record<string, Method>>>();

/** Looks a call up by the names that etcd3's clients use, such as `KV` and `put`. */
export function methodOf(service: keyof typeof Services, name: string): Method {
  let methods = known.get(service);
  if (!methods) {
    methods = methodsOf(service);
    known.set(service, methods);
  }
  const method = methods[name];
  if (!method) throw new Error(`${service} has no ${name}`);
  return method;
}

/** etcd3 shows its definitions on its clients only; this one is never connected. */
function methodsOf(service: keyof typeof Services): Readonly<Record<string, Method>> {
  const host = new Host('localhost', credentials.createInsecure(), {});
  const client = host.getServiceClient(service);
  host.close();
  const { service: definition } = client.constructor as unknown as { service: ServiceDefinition };
  return Object.fromEntries(
    Object.entries(definition).map(([name, method]) => [method.originalName ?? name, method]),
  );
}
