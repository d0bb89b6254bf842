import { start } from '../../src/embed/index.js';

/** What to serve. */
export interface EmbedServeTask {
  /** How many servers, each with data of its own. */
  readonly servers: number;
}

/** Hosts in-process servers for other processes, until standard input ends. */
export async function embedServe({ servers }: EmbedServeTask): Promise<readonly string[]> {
  const all = await Promise.all(Array.from({ length: servers }, () => start()));
  process.stdin.resume().once('end', () => {
    for (const server of all) void server.stop();
  });
  return all.map(({ endpoints }) => endpoints[0] as string);
}
