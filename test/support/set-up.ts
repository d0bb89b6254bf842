// tsyringe, which tests import too, asks for this first.
import 'reflect-metadata';
import { inject } from 'vitest';
import { bePatient } from './patience.js';

bePatient();
// Tests that start members of their own use the release of their project.
process.env['ETCD_BIN'] = inject('etcd');
