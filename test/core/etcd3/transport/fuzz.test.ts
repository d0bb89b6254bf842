import { once } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { describe, it, onTestFinished } from 'vitest';
import type { Endpoint } from '../../../../src/core/etcd3/endpoint.js';
import { rangeCall } from '../../../../src/core/etcd3/wire/calls.js';
import { answer, framed, open, reply, serve } from '../../../support/hostile-server.js';

const runs = { numRuns: 400, seed: 20_261_121 };
/** Node notices nothing of some frames, nor of anything after them: such calls end by their limit. */
const limit = 30;
const max = 1_000;
const key = Buffer.from('k');

const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));

/** Half of them look like what they should be. */
const messages = fc.oneof(
  bytes(60),
  bytes(60).map((message) => framed(message)),
  fc.tuple(bytes(20), fc.nat(0xff)).map(([message, flag]) => framed(message, flag)),
  fc.tuple(fc.nat(0xffffffff), bytes(20)).map(([length, rest]) => {
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(length, 1);
    return Buffer.concat([prefix, rest]);
  }),
  // Fields of any number and type.
  fc
    .array(fc.tuple(fc.integer({ min: 8, max: 0x7f }), bytes(8)), { maxLength: 6 })
    .map((fields) =>
      framed(Buffer.concat(fields.flatMap(([tag, rest]) => [Buffer.from([tag]), rest]))),
    ),
);
const text = fc
  .string({ unit: 'binary-ascii', maxLength: 12 })
  .map((any) => any.replace(/[^ -~]/g, '%'));
const trailers = fc.option(
  fc.record(
    {
      'grpc-status': fc.oneof(fc.constant('0'), fc.nat(20).map(String), text),
      'grpc-message': text,
      'grpc-status-details-bin': text,
    },
    { requiredKeys: [] },
  ),
  { nil: undefined },
);
const headers = fc.record({
  ':status': fc.constantFrom(200, 200, 200, 204, 302, 404, 500, 503),
  'content-type': fc.constantFrom('application/grpc', 'application/grpc+proto', 'text/html', ''),
});
const pieces = fc.array(messages, { maxLength: 3 });

/** A call ends as it may: with a reply, or an error with code and text. What else there is, is thrown. */
async function settle(endpoint: Endpoint): Promise<void> {
  try {
    await endpoint.call(rangeCall({ key }), { limit });
  } catch (error) {
    const { code, details } = error as { code?: unknown; details?: unknown };
    const isStatus = error instanceof Error && typeof code === 'number';
    if (!isStatus || typeof details !== 'string') throw error;
  }
}

describe('whatever a server replies, a call ends with a reply or a status', () => {
  it.each([undefined, max])(
    'in messages and trailers, of at most %s bytes',
    async (maxReceiveBytes) => {
      let act: (stream: ServerHttp2Stream) => void = () => {};
      const { address } = await serve((stream) => act(stream.resume()));
      const endpoint = open(address, { maxReceiveBytes });
      const property = fc.asyncProperty(
        headers,
        pieces,
        trailers,
        fc.boolean(),
        async (...said) => {
          const [head, body, tail, isReset] = said;
          act = (stream) => {
            reply(stream, body, tail, head);
            if (isReset) stream.close(body.length);
          };
          await settle(endpoint);
        },
      );
      await fc.assert(property, runs);
      act = answer;
      await endpoint.kv.range({ key });
    },
  );

  it('in frames', { timeout: 120_000 }, async () => {
    let said: Buffer[] = [];
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => sockets.delete(socket));
      socket.write(frame(4, 0, 0, Buffer.alloc(0)));
      let heard = Buffer.alloc(0);
      socket.on('data', (piece: Buffer) => {
        heard = Buffer.concat([heard, piece]);
        if (hasRequest(heard)) socket.end(Buffer.concat(said));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    const endpoint = open(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    const frames = fc.array(
      fc.oneof(
        bytes(40),
        fc
          .tuple(fc.nat(12), fc.nat(0xff), fc.constantFrom(0, 1, 1, 1, 2, 3), bytes(30))
          .map(([type, flags, stream, payload]) => frame(type, flags, stream, payload)),
        fc.constantFrom(
          // ":status: 200", and a type that needs no table.
          frame(1, 4, 1, Buffer.from([0x88, 0x0f, 0x10, 16, ...Buffer.from('application/grpc')])),
          frame(0, 0, 1, framed(Buffer.alloc(3))),
          frame(0, 1, 1, framed(Buffer.alloc(0))),
        ),
      ),
      { maxLength: 6 },
    );
    const property = fc.asyncProperty(frames, async (all) => {
      said = all;
      await settle(endpoint);
    });
    await fc.assert(property, runs);
  });
});

/** Whether a whole request is in what a client has sent since it connected. */
function hasRequest(heard: Buffer): boolean {
  const greeting = 24;
  for (let at = greeting; at + 9 <= heard.length; at += 9 + heard.readUIntBE(at, 3)) {
    if (heard[at + 3] === 0) return true;
  }
  return false;
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}
