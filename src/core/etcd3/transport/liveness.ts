import type { ClientHttp2Session } from 'node:http2';

/** When a silent connection is asked whether it is alive, and how long it may take to answer; in milliseconds. */
export interface Limits {
  readonly silence: number;
  readonly answer: number;
}

/** Members punish pings faster than 5 s; quicker notice of a hung one is the business of our callers' limits. */
const usual: Limits = { silence: 6_000, answer: 2_000 };

/** What a connection tells about itself. */
export interface Observed {
  readonly session: ClientHttp2Session;
  /** Grows with all that is heard. */
  heard(): number;
  /** Whether calls are waiting for an answer. */
  isBusy(): boolean;
  /** Nothing comes through any more. */
  dead(): void;
}

/** Asks a connection that says nothing while calls wait for it, until the function returned is called. */
export function watchOver(observed: Observed, { silence, answer }: Limits = usual): () => void {
  const { session } = observed;
  let before = -1;
  let pending: NodeJS.Timeout | undefined;
  const ask = (): void => {
    const heard = observed.heard();
    const wasSilent = heard === before;
    before = heard;
    if (!wasSilent || !observed.isBusy() || session.destroyed) return;
    let isAlive = false;
    session.ping((error) => {
      isAlive = error === null;
    });
    const isDead = (): boolean => !isAlive && observed.heard() === heard && !session.destroyed;
    // A timer may run before what has arrived is read.
    const judge = (): unknown => setImmediate(() => isDead() && observed.dead());
    pending = setTimeout(judge, answer).unref();
  };
  const timer = setInterval(ask, silence).unref();
  return () => {
    clearInterval(timer);
    clearTimeout(pending);
  };
}
