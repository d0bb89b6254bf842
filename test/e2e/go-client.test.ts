import { afterAll, beforeAll, expect, it } from 'vitest';
import { sharedEndpoint } from '../support/endpoint.js';
import { useEtcd } from '../support/etcd.js';
import { buildGoClient } from './support/go-client.js';

const etcd = useEtcd();
const client = await buildGoClient();
let results: ReadonlyMap<string, string>;

beforeAll(async () => {
  results = await client.try(sharedEndpoint());
}, 150_000);

afterAll(() => client.remove());

it.each(client.checks)("passes what etcd's Go client checks: %s", (name) => {
  expect(results.get(name) ?? 'it was not run').toBe('ok');
});

it("passes what etcd's Go client checks of users", async () => {
  const said = await client.tryUsers(await etcd.startOwn());
  expect(Object.fromEntries(said)).toEqual({
    'users may do what their roles permit': 'ok',
    'who lost a token logs in again': 'ok',
  });
});
