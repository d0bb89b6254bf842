import { experimental } from '@grpc/grpc-js';

const defaultPort = 443;

/** Where grpc-js connects to for an address: `host:port`, `[::1]:port`, `unix:path`, or a URL. `undefined` if it is none of these. */
export function endpointOf(address: string): experimental.Endpoint | undefined {
  const path = /^unix:(?:\/\/)?(.+)$/.exec(address)?.[1];
  if (path !== undefined) return { addresses: [{ path }] };
  const place = address.includes('://') ? placeOf(address) : experimental.splitHostPort(address);
  if (!place?.host) return undefined;
  return { addresses: [{ host: place.host, port: place.port ?? defaultPort }] };
}

function placeOf(text: string): experimental.HostPort | null {
  if (!URL.canParse(text)) return null;
  const { hostname, port, protocol } = new URL(text);
  // An IPv6 address has brackets in a URL, and none where it is connected to.
  const host = hostname.replaceAll(/[[\]]/g, '');
  if (port !== '') return { host, port: Number(port) };
  return protocol === 'http:' ? { host, port: 80 } : { host };
}
