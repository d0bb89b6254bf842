import { inject } from 'vitest';

/** The etcd of this worker: files that run side by side do not meet, so that one may compact its history. */
export function sharedEndpoint(): string {
  const endpoints = inject('endpoints');
  return endpoints[Number(process.env['VITEST_POOL_ID'] ?? 1) % endpoints.length] as string;
}
