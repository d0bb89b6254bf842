import { type experimental, Metadata, status } from '@grpc/grpc-js';

/** What grpc-js 1.10 to 1.13 has in place of the listener of 1.14. */
interface OldListener {
  onSuccessfulResolution(
    endpoints: experimental.Endpoint[],
    serviceConfig: null,
    serviceConfigError: null,
    configSelector: null,
    attributes: object,
  ): void;
  onError(error: ReturnType<typeof unavailable>): void;
}

/** Who is told of addresses, of whichever version. */
export type AnyListener = experimental.ResolverListener | OldListener;

/** Has calls go to these. */
export function tellEndpoints(
  listener: AnyListener,
  endpoints: experimental.Endpoint[],
  note: string,
): void {
  if (typeof listener === 'function') listener({ ok: true, value: endpoints }, {}, null, note);
  else listener.onSuccessfulResolution(endpoints, null, null, null, {});
}

/** Has calls fail unless addresses are known. */
export function tellError(listener: AnyListener, details: string): void {
  const error = unavailable(details);
  if (typeof listener === 'function') listener({ ok: false, error }, {}, null, '');
  else listener.onError(error);
}

function unavailable(details: string): { code: status; details: string; metadata: Metadata } {
  return { code: status.UNAVAILABLE, details, metadata: new Metadata() };
}
