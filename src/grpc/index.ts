export { type ResolverOptions, registerResolver } from './register-resolver.js';
export type { FollowedInstances } from './service-resolver.js';
