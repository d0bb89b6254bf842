export type { Gap, IsolationStatus } from './isolation.js';
export { QuotaError } from './quota-error.js';
export type {
  Quota,
  Stamp,
  TenantAction,
  TenantChange,
  TenantEvent,
  TenantIsolation,
  TenantRecord,
  TenantState,
} from './tenant-record.js';
export type {
  CreateTenantOptions,
  TenantChangeOptions,
  TenantCredentials,
  TenantInfo,
} from './tenants.js';
export { Tenants } from './tenants.js';
