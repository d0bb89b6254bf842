import { folderOf, type KeyRange } from '../core/store/keys.js';
import type { Compare } from '../core/store/store.js';
import { nonEmpty } from '../core/validate.js';

/** Priorities that there are: 0 comes first. */
export const priorities = 10;

/** Digits of a revision in keys. */
const digits = 16;

/**
 * Where a queue keeps its keys. A job that waits or is worked on has a record, `ready/<id>`, and beside it, while they are
 * needed, `!c/...`, the claim of who works on it, and `!t`, whose version says how often it was claimed since the
 * record was written. So one range is all that there is of a job, and one range all that may be claimed.
 */
export class QueueKeys {
  /** All keys of the queue. */
  readonly folder: string;
  /** Records of jobs that wait, or are worked on. */
  readonly ready: string;
  /** Jobs that are not to begin yet. */
  readonly delayed: string;
  /** Jobs that rest in their place: for how many milliseconds from when that is seen, by name. Beside `delayed`, so that one watch has both. */
  readonly rests: string;
  /** Jobs that were given up. */
  readonly dead: string;
  /** Jobs that were given up, and keep others from being taken: by what they are in order with. */
  readonly blocked: string;
  /** Of what there is to be one job at a time, or within a window: its name. */
  readonly unique: string;
  /** What is true of the queue as a whole. */
  readonly state: string;
  /** Processes that take jobs. */
  readonly consumers: string;
  /** Keys of those who work on jobs of groups. */
  readonly slots: string;
  /** Is there while nobody is to take jobs. */
  readonly paused: string;
  /** Jobs that were done, where they are kept. */
  readonly done: string;
  /** Is written when jobs went without a trace, with the `ids` of few, and why: who waits for one is to look again. */
  readonly cleared: string;
  /** The present names of jobs that have another than at first. */
  readonly aliases: string;
  /** When jobs that wait are to be dropped. */
  readonly expires: string;
  /** Jobs that are put again and again. */
  readonly repeats: string;
  /** What time it is in this queue. */
  readonly time: string;
  /** Which revisions were there at which times. */
  readonly ages: string;
  /** All that its keeper has to know: beside `delayed`, so that one watch has all. */
  readonly timed: KeyRange;
  /** Who stands in line to be the keeper. */
  readonly keepers: string;

  /** @throws ArgumentError if the name is empty, or no Unicode. */
  constructor(name: string) {
    // Names of jobs are found in keys, as text.
    this.folder = folderOf('queue', name).replace(/[^ -~]+/gu, (text) => escaped('name', text));
    this.ready = `${this.folder}ready/`;
    this.delayed = `${this.folder}delayed/`;
    this.rests = `${this.folder}delayed!rests/`;
    this.dead = `${this.folder}dead/`;
    this.unique = `${this.folder}unique/`;
    this.blocked = `${this.folder}blocked/`;
    this.state = `${this.folder}ready!`;
    this.consumers = `${this.state}consumers/`;
    this.slots = `${this.state}slots/`;
    this.paused = `${this.state}paused`;
    this.done = `${this.folder}done/`;
    this.cleared = `${this.folder}done!cleared`;
    this.aliases = `${this.folder}aliases/`;
    this.expires = `${this.folder}delayed!expires/`;
    this.repeats = `${this.folder}delayed!repeats/`;
    this.time = `${this.folder}delayed!time`;
    this.ages = `${this.folder}delayed!ages`;
    this.timed = { key: `${this.folder}delayed!`, end: `${this.folder}delayed0` };
    this.keepers = `${this.folder}keepers/`;
  }

  /** What the records of a priority begin with. */
  lane(priority: number): string {
    return `${this.ready}${priority}-`;
  }
}

/** In the lane that begins with `prefix`, what comes before all names that begin with `revision` or a later one. */
export function startOf(prefix: string, revision: bigint): string {
  return prefix + hex(revision);
}

/** A job's claims, and what keeps it from being claimed. */
export function barsOf(record: string): KeyRange {
  return { key: `${record}!c/`, end: `${record}!e` };
}

/** Where claims of a job are put. */
export function claimsOf(record: string): string {
  return `${record}!c/`;
}

/** The condition that nobody works on a job. */
export function nobodyAt(record: string): Compare {
  return { key: claimsOf(record), end: `${record}!c0`, target: 'create', to: 0n };
}

/** Counts the claims of a job, by its version. */
export function triesOf(record: string): string {
  return `${record}!t`;
}

/** Keeps a job from being claimed, in its place. */
export function restOf(record: string): string {
  return `${record}!d`;
}

/** What the handler of a job said last of how far it is. */
export function progressOf(record: string): string {
  return `${record}!p`;
}

/** That a job was cancelled while it was worked on: stays until its handler has heard of it. Comes after all else of the job. */
export function cancelOf(record: string): string {
  return `${record}!x`;
}

/** Of which job a key says that it was cancelled, if it does. */
export function cancelledIn(key: string): string | undefined {
  return key.endsWith('!x') ? key.slice(0, -2) : undefined;
}

/** What is beside a record. */
export function besides(record: string): KeyRange {
  return { key: `${record}!`, end: `${record}"` };
}

/** A record, and what is beside it. */
export function allOf(record: string): KeyRange {
  return { key: record, end: `${record}"` };
}

/** What a job is named after. */
export interface Named {
  readonly priority: number;
  /** What `labelOf` gives. */
  readonly label?: string;
}

/** What a name ends with: it tells what the job is in order with, and which group it is of. */
export function labelOf(orderKey: string | undefined, group: string | undefined): string {
  const order = orderKey === undefined ? '' : `@${escaped('orderKey', orderKey)}`;
  return group === undefined ? order : `${order}:${escaped('group', group)}`;
}

/** What another name of the same job is to tell. */
export function namedAs(id: string): Named {
  return { priority: priorityOf(id), label: /[@:].*$/.exec(id)?.[0] ?? '' };
}

/** What a job is in order with, by its name: as it is in keys. */
export function orderOf(id: string): string | undefined {
  return /@([^:]+)/.exec(id)?.[1];
}

/** The group of a job, by its name: as it is in keys. */
export function groupOf(id: string): string | undefined {
  return /:(.+)$/.exec(id)?.[1];
}

/** A text as it is in keys, without what means something there. @throws ArgumentError if it is empty, or no Unicode. */
export function escaped(option: string, text: string): string {
  return encodeURIComponent(nonEmpty(option, text)).replaceAll('!', '%21');
}

/**
 * The name of a job: begins with its priority, and a revision that was known to be there when it was put. So of two jobs of one
 * priority, one that was put at or before the revision that the other begins with came before it.
 */
export function idOf(
  { priority, label = '' }: Named,
  hint: bigint,
  number: number,
  producer: string,
): string {
  return `${priority}-${hex(hint)}-${number.toString(16).padStart(8, '0')}-${producer}${label}`;
}

/** The priority of a job by its name. */
export function priorityOf(id: string): number {
  return Number(id[0]);
}

/** The revision that a name begins with. */
export function hintOf(id: string): bigint {
  return BigInt(`0x${id.slice(2, 2 + digits)}`);
}

function hex(revision: bigint): string {
  return revision.toString(16).padStart(digits, '0');
}
