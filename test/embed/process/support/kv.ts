import type { EtcdMember } from '../../../../src/embed/index.js';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** Writes a key through one member. */
export async function put(member: EtcdMember, key: string, value: string): Promise<void> {
  await member.gateway.call('/v3/kv/put', { key: base64(key), value: base64(value) });
}

/** Reads a key through one member, linearizably. */
export async function get(member: EtcdMember, key: string): Promise<string | undefined> {
  const found = await member.gateway.call<{ kvs?: { value: string }[] }>('/v3/kv/range', {
    key: base64(key),
  });
  const value = found.kvs?.[0]?.value;
  return value === undefined ? undefined : Buffer.from(value, 'base64').toString();
}
