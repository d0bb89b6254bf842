import { CoordinationError } from '../core/store/errors.js';

const SHOWN_LINES = 8;

/** etcd could not be started: its binary is missing or unusable, it ended early, or it was not ready in time. */
export class EtcdStartError extends CoordinationError {
  /** The end of what etcd wrote to its log; empty when it never ran. */
  readonly log: string;

  constructor(message: string, log = '', options?: ErrorOptions) {
    super('ERR_ETCD_START', log === '' ? message : `${message}\n${lastLines(log)}`, options);
    this.log = log;
  }
}

/** etcd refused a call of its JSON API. */
export class EtcdGatewayError extends CoordinationError {
  /** gRPC's number for the refusal, such as 9 for a failed precondition, if etcd gave one. */
  readonly status: number | undefined;

  constructor(path: string, answer: string) {
    const { code, message } = parse(answer);
    super('ERR_REFUSED', `${path}: ${message ?? answer.trim()}`);
    this.status = code;
  }
}

function parse(answer: string): { readonly code?: number; readonly message?: string } {
  try {
    return JSON.parse(answer) as { code?: number; message?: string };
  } catch {
    return {};
  }
}

function lastLines(log: string): string {
  // etcd follows up a wrong flag with all of its help.
  const [said = ''] = log.split(/^Usage:$/m, 1);
  return said.trimEnd().split('\n').slice(-SHOWN_LINES).join('\n');
}
