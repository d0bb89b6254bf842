/** How many are nearer to a job than we are, among all whom `to` stands for. */
interface Rank {
  readonly to: object;
  readonly count: number;
}

/** A job that waits, or is worked on, as far as it is known here. */
export interface Ready {
  /** Of its record. */
  readonly key: string;
  /** What it is in order with. */
  readonly order: string | undefined;
  /** Its group, of which not all may be worked on at a time. */
  readonly group: string | undefined;
  /** The revision at which it took its place in the queue. */
  readonly created: bigint;
  /** That of its record's last change. */
  modified: bigint;
  /** The claim of who works on it. */
  claim: string | undefined;
  /** Whether something keeps it from being claimed for a time. */
  rests: boolean;
  /** Since when it may be claimed as far as we know, by our clock. */
  since: number;
  /** Since when we leave it to others, and take what comes after it, by our clock. */
  passedAt: number | undefined;
  /** `undefined` until somebody asks. */
  rank: Rank | undefined;
  /** When it was last read that it is there, by our clock. */
  readAt: number;
  /** The revision of the last that was told of it. */
  toldIn: bigint;
  /** Whether we are about to claim it. */
  isOurs: boolean;
  /** Whether it is known to be there no more. */
  isGone: boolean;
  /** Whether it is in the list of those to look at. */
  isListed: boolean;
}

/** Whether nothing that is known of it alone keeps it from being claimed by us. */
export function isFree({ claim, rests, isOurs, isGone }: Ready): boolean {
  return !claim && !rests && !isOurs && !isGone;
}

/** Whether it was put before the other: of those that were put in one step, whose are one process's, the names tell. */
export function isBefore(a: Ready, b: Ready): boolean {
  return a.created < b.created || (a.created === b.created && a.key < b.key);
}
