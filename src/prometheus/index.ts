export { type CollectOptions, collect } from './collect.js';
