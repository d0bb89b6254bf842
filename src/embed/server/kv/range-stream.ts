import { status } from '@grpc/grpc-js';
import { EtcdError } from '../errors.js';
import type { Init } from '../wire/codec.js';
import type { KeyValue } from '../wire/common.js';
import type { RangeRequest, RangeResponse } from '../wire/kv.js';
import { checkRange } from './checks.js';

/** @throws EtcdError if it is malformed, or asks for what etcd does not do in pieces. */
export function checkRangeStream(request: RangeRequest): void {
  checkRange(request);
  const { sortOrder, sortTarget, minModRevision, maxModRevision } = request;
  const byKey = sortOrder === 0 || (sortTarget === 0 && sortOrder === 1);
  if (!byKey) throw unable('custom sort orders');
  const filters = [minModRevision, maxModRevision, request.minCreateRevision];
  if ([...filters, request.maxCreateRevision].some((bound) => bound !== 0)) {
    throw unable('revision filters');
  }
}

function unable(what: string): EtcdError {
  return new EtcdError(status.UNIMPLEMENTED, `RangeStream does not support ${what}`);
}

/** The result of a read in pieces of about `size` bytes; all but the last have keys only, and no header. */
export function* inPieces(
  whole: Init<RangeResponse>,
  size: number,
): Generator<Init<RangeResponse>> {
  let [piece, length] = [[] as Init<KeyValue>[], 0];
  for (const kv of whole.kvs ?? []) {
    if (length >= size) {
      yield { kvs: piece };
      [piece, length] = [[], 0];
    }
    piece.push(kv);
    length += (kv.key?.length ?? 0) + (kv.value?.length ?? 0);
  }
  yield { ...whole, kvs: piece };
}
