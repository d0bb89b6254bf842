import { get } from 'node:http';
import { Difference } from './difference.js';

const PATIENCE = 5000;

/** Waits until a real etcd has brought all its watches up to date; it says in its metrics how many are behind. */
export async function watchesSynced(endpoint: string): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const metrics = await fetchText(`${endpoint}/metrics`);
    if (/^etcd_debugging_mvcc_slow_watcher_total 0$/m.test(metrics)) return;
    if (performance.now() > deadline) throw new Difference('watches of etcd stay behind');
  }
}

function fetchText(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve(Buffer.concat(chunks).toString('latin1')));
    });
    request.on('error', reject);
  });
}
