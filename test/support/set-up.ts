import { inject } from 'vitest';

// Tests that start members of their own use the release of their project.
process.env['ETCD_BIN'] = inject('etcd');
