// With tsyringe: a class that gets its session injected. Run: npx tsx examples/inject.ts 127.0.0.1:2379
// tsyringe asks for this first.
import 'reflect-metadata';
import { container } from 'tsyringe';
import { connect, Mutex, SESSION, type Session } from '../src/index.js';

class Reports {
  readonly #mutex: Mutex;

  constructor(session: Session) {
    this.#mutex = new Mutex(session, 'examples/inject');
  }

  write(): Promise<string> {
    return this.#mutex.run((hold) => `written under token ${hold.token}`);
  }
}

const endpoint = process.argv[2] ?? process.env['ETCD_ENDPOINT'] ?? '127.0.0.1:2379';
const app = container.createChildContainer();
await using coordinator = await connect({ endpoints: [endpoint], container: app });
app.register(Reports, { useFactory: (parts) => new Reports(parts.resolve(SESSION)) });
console.log(`${coordinator.session.state}: ${await app.resolve(Reports).write()}`);
