#!/usr/bin/env node
import { run } from './program.js';

// Node's advice to developers, such as on TLS to an address without a name, is no business of who runs a command.
process.noDeprecation = true;
// Whoever read what we say may have gone away; what runs under the lock need not suffer from it.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
// A call given up may still wait for etcd; nothing it could bring would matter any more.
process.exit(await run(process.argv.slice(2)));
