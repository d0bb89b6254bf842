import { experimental } from '@grpc/grpc-js';
import { ArgumentError } from '../core/store/errors.js';
import type { AnyListener } from './listener.js';
import { type FollowedInstances, ServiceResolver } from './service-resolver.js';

/** How a resolver is registered. */
export interface ResolverOptions {
  /** What targets begin with. @defaultValue `'etcd'`: `etcd:///orders` is the service `orders` */
  readonly scheme?: string;
  /**
   * The `experimental` of grpc-js, from 1.10 on, whose clients are meant, where a program has more than one grpc-js.
   * @defaultValue that of the one that this package finds
   */
  readonly experimental?: { registerResolver(scheme: string, resolver: never): void };
}

/**
 * Has grpc-js find services by their names: a client of the target `etcd:///orders` calls the instances of `orders` as they
 * come and go. For each channel `follow` is called with the name when it is first used, and what it gave is disposed of when the
 * channel is closed or idle. Instances with the weight 0 are left out. The last registration of a scheme counts.
 *
 * @param follow - gives the instances of a service, such as a directory of its own for each call
 * @throws ArgumentError if it is no function, or the scheme none.
 */
export function registerResolver(
  follow: (service: string) => FollowedInstances,
  options: ResolverOptions = {},
): void {
  const { scheme = 'etcd', experimental: into = experimental } = options;
  if (typeof follow !== 'function') throw new ArgumentError('follow', 'a function', follow);
  if (!/^[a-z][a-z0-9+.-]*$/i.test(scheme)) {
    throw new ArgumentError('scheme', 'the scheme of a URI, without the colon', scheme);
  }
  class Resolver extends ServiceResolver {
    /** What certificates are checked for unless a channel says otherwise, and what servers see. */
    static getDefaultAuthority({ path }: experimental.GrpcUri): string {
      return authorityOf(path);
    }

    constructor({ path }: experimental.GrpcUri, listener: AnyListener) {
      super(path, follow, listener);
    }
  }
  into.registerResolver(scheme, Resolver as never);
}

/** The name of a service as a host; of `shop/orders`, which is none, `shop-orders`. */
function authorityOf(name: string): string {
  const encoded = encodeURIComponent(name);
  return URL.canParse(`http://${encoded}`) ? encoded : name.replaceAll(/[^a-z\d-]+/gi, '-');
}
