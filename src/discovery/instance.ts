import type { WaitOptions } from '../core/time/signals.js';

/** One of those that offer a service. */
export interface Instance {
  /** What tells it from the others of its service; a new one for every start of a process. */
  readonly id: string;
  /** Where it is reached, such as `10.0.0.7:8080` or a URL. */
  readonly address: string;
  /** What else it is known by. @defaultValue none */
  readonly tags?: readonly string[];
  /** Where it runs, such as a zone of a data centre. @defaultValue none */
  readonly zone?: string;
  /** The release that it runs. @defaultValue none */
  readonly version?: string;
  /** Its share of the work, against the others'; 0 for none at present. @defaultValue 1 */
  readonly weight?: number;
  /** Anything else that JSON can carry. @defaultValue none */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** Where to find the instances of a service, as of now: a directory, or a list of one's own. */
export interface InstanceSource {
  /** What it is called in metrics. @defaultValue an empty text */
  readonly name?: string;
  /** Those that can be called. The same array until something changes. @throws UnavailableError while it is not known. */
  instances(): readonly Instance[];
  /** Goes on with a step as soon as `instances` can be relied on, and after each change. @defaultValue always, and nothing is told */
  watch?(options?: Pick<WaitOptions, 'signal'>): AsyncIterable<unknown>;
}
