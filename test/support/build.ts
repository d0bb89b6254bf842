import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** Where all of this project is, compiled. */
    readonly built: string;
  }
}

const options =
  '--noCheck --noEmit false --declaration false --declarationMap false --isolatedDeclarations false --rootDir .';

/** Compiles all once for the processes that tests start: to have each do so as it loads takes them most of their time. */
export async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  // In here, so that it finds the packages that we find.
  const built = await mkdtemp(join(process.cwd(), '.built-'));
  await promisify(execFile)('node_modules/.bin/tsc', [...options.split(' '), '--outDir', built]);
  await copyFile('package.json', join(built, 'package.json'));
  provide('built', built);
  return () => rm(built, { recursive: true });
}
