export { Balancer, type BalancerEvents } from './balancing/balancer.js';
export type {
  BalancerOptions,
  EjectionOptions,
  RetryBudget,
} from './balancing/balancer-options.js';
export { CallFailedError, type InstanceFailure } from './balancing/call-failed-error.js';
export { type InstanceCounts, NoInstanceError } from './balancing/no-instance-error.js';
export type { Picked } from './balancing/picked.js';
export type { PickOptions, PolicyName } from './balancing/policy.js';
export type { RetryOptions } from './balancing/retry-options.js';
export { Directory } from './directory.js';
export type {
  DirectoryChange,
  DirectoryEvents,
  DirectoryOptions,
  DirectoryStep,
} from './directory-options.js';
export type { Instance, InstanceSource } from './instance.js';
export type { ServiceLayout } from './layout.js';
export { Registration } from './registration.js';
export type {
  HealthOptions,
  InstancePatch,
  NewInstance,
  RegisterOptions,
  RegistrationEvents,
} from './registration-options.js';
export { Service, type ServiceOptions } from './service.js';
export type { InstanceState, ServiceInstance } from './service-instance.js';
