import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Stops a process as if its machine had stood still; the function returned lets it run on.
 *
 * The SIGCONT comes from a shell that waits for the end of a pipe, so that it comes too when we are killed:
 * a stopped process would not notice that we are gone.
 */
export async function freeze(pid: number): Promise<() => void> {
  const thaw = spawn('/bin/sh', ['-c', 'read -r _; kill -CONT "$1"', 'thaw', String(pid)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  await once(thaw, 'spawn');
  process.kill(pid, 'SIGSTOP');
  return () => thaw.stdin.end();
}
