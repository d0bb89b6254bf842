import { connect } from '../../src/index.js';

// Registers an instance of a service, updates it once, and stays until it is killed.
const [endpoint = '', name = ''] = process.argv.slice(2);
const coordinator = await connect({ endpoints: [endpoint], session: { ttl: 2_000 } });
const registration = await coordinator.service(name).register({ id: 'a', address: 'first' });
await registration.update({ address: 'second' });
process.on('disconnect', () => process.exit(1));
process.send?.('registered');
