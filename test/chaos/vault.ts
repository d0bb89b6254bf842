import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { VaultReply, VaultRequest } from './vault-process.js';

/** A client of the vault. */
export class Vault {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, (reply: VaultReply) => void>();
  #last = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    createInterface({ input: socket }).on('line', (line) => {
      const reply = JSON.parse(line) as VaultReply;
      this.#waiting.get(reply.n)?.(reply);
      this.#waiting.delete(reply.n);
    });
  }

  static async connect(path: string): Promise<Vault> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new Vault(socket);
  }

  ask(request: Omit<VaultRequest, 'n'>): Promise<VaultReply> {
    this.#last += 1;
    const n = this.#last;
    const reply = new Promise<VaultReply>((resolve) => {
      this.#waiting.set(n, resolve);
    });
    this.#socket.write(`${JSON.stringify({ n, ...request })}\n`);
    return reply;
  }

  close(): void {
    this.#socket.destroy();
  }
}
