import { createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { Recorder } from './history.js';

/** What is asked of the vault. */
export interface VaultRequest {
  readonly n: number;
  readonly do: 'read' | 'write';
  readonly kind: 'fenced' | 'unfenced';
  readonly token: number;
  readonly base?: string;
  readonly value?: string;
}

export interface VaultReply {
  readonly n: number;
  readonly accepted: boolean;
  readonly value: string;
}

// A store that knows nothing of etcd. It refuses tokens older than the newest it has seen, in one of its two registers.
const [socket = '', directory = ''] = process.argv.slice(2);
const recorder = new Recorder(directory, 'vault');
const registers = {
  fenced: { value: '', token: 0 },
  unfenced: { value: '', token: 0 },
};

function serve({ n, do: what, kind, token, base, value = '' }: VaultRequest): VaultReply {
  const register = registers[kind];
  const accepted = kind === 'unfenced' || token >= register.token;
  if (accepted) register.token = Math.max(token, register.token);
  if (what === 'write') {
    recorder.write({ f: 'verdict', e: 'info', kind, token, op: value, accepted, base: base ?? '' });
    if (accepted) register.value = value;
  }
  return { n, accepted, value: register.value };
}

createServer((client: Socket) => {
  const lines = createInterface({ input: client });
  // Clients may be killed at any time.
  for (const source of [client, lines]) source.on('error', () => {});
  lines.on('line', (line) => {
    client.write(`${JSON.stringify(serve(JSON.parse(line) as VaultRequest))}\n`);
  });
}).listen(socket, () => process.send?.('ready'));
// What the whole process group gets is for the harness to decide upon.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('disconnect', () => process.exit(0));
