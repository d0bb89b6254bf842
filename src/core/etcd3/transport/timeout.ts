/** The longest time that gRPC has digits for in milliseconds. */
const longestMs = 99_999_999;

/** Milliseconds as the header `grpc-timeout` has them. */
export function timeoutHeader(ms: number): string {
  const whole = Math.max(1, Math.ceil(ms));
  return whole > longestMs ? `${Math.ceil(whole / 1_000)}S` : `${whole}m`;
}
