/**
 * The control for the Node benchmarks: etcd on bare `@grpc/grpc-js`, with no client library above
 * it. What a lock costs here is the floor for anything built on the same transport and codec.
 */
import { createRequire } from 'node:module';
import { credentials, loadPackageDefinition, type ServiceError } from '@grpc/grpc-js';

/** A position in the order of all writes, as etcd's 64-bit integers travel here: in decimal. */
type Int64 = string;

/** Message `ResponseHeader`. */
interface RawHeader {
  readonly revision: Int64;
}

/** Message `KeyValue`. */
interface RawKeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly create_revision: Int64;
  readonly mod_revision: Int64;
  readonly lease: Int64;
}

/** Message `RangeRequest`; enums are numbers. */
interface RawRangeRequest {
  readonly key: Buffer;
  readonly range_end?: Buffer;
  readonly limit?: number;
  readonly sort_order?: number;
  readonly sort_target?: number;
  readonly keys_only?: boolean;
}

/** Message `RangeResponse`. */
interface RawRangeResponse {
  readonly header: RawHeader;
  readonly kvs: readonly RawKeyValue[];
}

/** Message `PutRequest`. */
interface RawPutRequest {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly lease?: Int64;
}

/** Message `PutResponse`. */
interface RawPutResponse {
  readonly header: RawHeader;
}

/** Message `Compare` on a create revision; enums are numbers. */
interface RawCompare {
  readonly result: number;
  readonly target: number;
  readonly key: Buffer;
  readonly create_revision: Int64;
}

/** Message `RequestOp`: exactly one of its members. */
interface RawRequestOp {
  readonly request_range?: RawRangeRequest;
  readonly request_put?: RawPutRequest;
  readonly request_delete_range?: { readonly key: Buffer };
}

/** Message `TxnRequest`. */
interface RawTxnRequest {
  readonly compare: readonly RawCompare[];
  readonly success: readonly RawRequestOp[];
  readonly failure?: readonly RawRequestOp[];
}

/** Message `TxnResponse`. The transaction itself is not decoded beyond what a lock needs. */
interface RawTxnResponse {
  readonly header: RawHeader;
  readonly succeeded: boolean;
  readonly responses: readonly { readonly response_range?: RawRangeResponse }[];
}

/** The few calls of etcd that the benchmarks use, each one a single RPC. */
export interface RawKv {
  txn(request: RawTxnRequest): Promise<RawTxnResponse>;
  put(key: string, value: string | Buffer): Promise<RawPutResponse>;
  range(request: RawRangeRequest): Promise<RawRangeResponse>;
  /** Grants a lease that nothing keeps alive: ask for longer than the benchmark runs. */
  grantLease(ttlSeconds: number): Promise<Int64>;
  close(): void;
}

type Unary<Request, Response> = (
  request: Request,
  callback: (error: ServiceError | null, response?: Response) => void,
) => unknown;

interface Stub {
  close(): void;
  getChannel(): object;
}

interface KvStub extends Stub {
  txn: Unary<RawTxnRequest, RawTxnResponse>;
  put: Unary<RawPutRequest, RawPutResponse>;
  range: Unary<RawRangeRequest, RawRangeResponse>;
}

interface LeaseStub extends Stub {
  leaseGrant: Unary<{ readonly TTL: number }, { readonly ID: Int64 }>;
}

type StubConstructor<T extends Stub> = new (
  address: string,
  channelCredentials: ReturnType<typeof credentials.createInsecure>,
  options?: { readonly channelOverride?: object },
) => T;

interface EtcdPackage {
  readonly etcdserverpb: {
    readonly KV: StubConstructor<KvStub>;
    readonly Lease: StubConstructor<LeaseStub>;
  };
}

interface ProtoLoader {
  loadSync(
    file: string,
    options: Readonly<Record<string, unknown>>,
  ): Parameters<typeof loadPackageDefinition>[0];
}

const EQUAL = 0;
const CREATE = 1;
const DESCEND = 2;
const SORT_BY_CREATE = 2;
const LOCK_VALUE = Buffer.alloc(80, 'v');

/** Loads etcd3's proto by etcd3's own copy of the loader, so that both run the same codec. */
function loadEtcd(): EtcdPackage {
  const here = createRequire(import.meta.url);
  const loader = createRequire(here.resolve('etcd3'))('@grpc/proto-loader') as ProtoLoader;
  const definition = loader.loadSync(here.resolve('etcd3/proto/rpc.proto'), {
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  return loadPackageDefinition(definition) as unknown as EtcdPackage;
}

function unary<Response>(
  start: (callback: (error: ServiceError | null, response?: Response) => void) => unknown,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    start((error, response) => {
      if (response === undefined) reject(error ?? new Error('the server sent no response'));
      else resolve(response);
    });
  });
}

/** Opens one insecure channel to `endpoint` (`http://host:port`); the first call connects it. */
export function openRaw(endpoint: string): RawKv {
  const { KV, Lease } = loadEtcd().etcdserverpb;
  const address = endpoint.replace(/^http:\/\//, '');
  const kv = new KV(address, credentials.createInsecure());
  const lease = new Lease(address, credentials.createInsecure(), {
    channelOverride: kv.getChannel(),
  });
  return {
    txn: (request) => unary((done) => kv.txn(request, done)),
    put: (key, value) =>
      unary((done) => kv.put({ key: Buffer.from(key), value: Buffer.from(value) }, done)),
    range: (request) => unary((done) => kv.range(request, done)),
    grantLease: async (ttlSeconds) => {
      const granted = await unary<{ readonly ID: Int64 }>((done) =>
        lease.leaseGrant({ TTL: ttlSeconds }, done),
      );
      return granted.ID;
    },
    close: () => kv.close(),
  };
}

/**
 * Takes and releases the lock `key` (`folder/name`) by the two transactions a minimal lock needs:
 * join the queue and look who stands before us, then leave it if the place is still ours. Nobody
 * else may want the lock. Resolves to the create revision under which the lock was held.
 */
export async function lockPair(kv: RawKv, key: string, lease: Int64): Promise<Int64> {
  const name = Buffer.from(key);
  const folder = key.slice(0, key.lastIndexOf('/'));
  const joined = await kv.txn({
    compare: [{ result: EQUAL, target: CREATE, key: name, create_revision: '0' }],
    success: [
      {
        request_range: {
          key: Buffer.from(`${folder}/`),
          // '0' is the character after '/': the range is everything inside the folder.
          range_end: Buffer.from(`${folder}0`),
          limit: 1,
          sort_order: DESCEND,
          sort_target: SORT_BY_CREATE,
          keys_only: true,
        },
      },
      { request_put: { key: name, value: LOCK_VALUE, lease } },
    ],
  });
  const holder = joined.responses[0]?.response_range?.kvs[0];
  if (!joined.succeeded || holder !== undefined) throw new Error(`somebody else holds ${key}`);

  const revision = joined.header.revision;
  const left = await kv.txn({
    compare: [{ result: EQUAL, target: CREATE, key: name, create_revision: revision }],
    success: [{ request_delete_range: { key: name } }],
  });
  if (!left.succeeded) throw new Error(`the hold of ${key} was lost`);
  return revision;
}
