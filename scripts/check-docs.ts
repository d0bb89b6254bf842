import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

// Type-checks the TypeScript in README and docs against the built package, as a user would compile it.
const root = new URL('..', import.meta.url).pathname;
const out = join(root, '.docs-check');
const pages = ['README.md', ...(await readdir(join(root, 'docs'))).map((page) => `docs/${page}`)];

await rm(out, { recursive: true, force: true });
await mkdir(out);
let blocks = 0;
for (const page of pages.filter((name) => name.endsWith('.md'))) {
  const text = await readFile(join(root, page), 'utf8');
  for (const [, code] of text.matchAll(/^```ts\n(.*?)^```/gms)) {
    blocks += 1;
    const line = text.slice(0, text.indexOf(code ?? '')).split('\n').length;
    const name = `${page.replaceAll(/\W/g, '-')}-line-${line}.ts`;
    await writeFile(join(out, name), `${code}\nexport {};\n`);
  }
}
if (blocks === 0) throw new Error('found no TypeScript in README and docs');
const config = {
  extends: '../tsconfig.json',
  compilerOptions: {
    isolatedDeclarations: false,
    declaration: false,
    declarationMap: false,
    noUnusedLocals: false,
  },
  include: ['*.ts'],
};
await writeFile(join(out, 'tsconfig.json'), JSON.stringify(config));
const { status } = spawnSync('npx', ['tsc', '-p', out], { cwd: root, stdio: 'inherit' });
console.log(
  `${blocks} blocks of TypeScript in the documentation: ${status === 0 ? 'fine' : 'see above'}`,
);
if (status === 0) await rm(out, { recursive: true });
process.exitCode = status ?? 1;
