import { isIP } from 'node:net';
import { ArgumentError } from '../../core/store/errors.js';
import {
  checkAuth,
  checkAutoCompaction,
  checkName,
  checkTls,
  integer,
  milliseconds,
  nonEmpty,
  oneOf,
} from '../validate.js';
import type { EtcdOptions } from './options.js';

const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'panic', 'fatal'];
const HEARTBEAT = 100;
const ELECTION = 1000;
const LONGEST_ELECTION = 50_000;

const URL_OPTIONS = [
  'listenClientUrls',
  'advertiseClientUrls',
  'listenPeerUrls',
  'advertisePeerUrls',
] as const;

/** Checks what etcd would refuse, or silently accept and never serve. @throws ArgumentError naming the option */
export function checkOptions(options: EtcdOptions): void {
  checkNumbers(options);
  checkTiming(options);
  checkTopology(options);
  checkUrls(options);
  checkTls('tls', options.tls);
  checkTls('peerTls', options.peerTls);
  checkTexts(options);
}

function checkNumbers(options: EtcdOptions): void {
  integer('members', options.members, 1);
  integer('snapshotCount', options.snapshotCount, 1);
  integer('quotaBackendBytes', options.quotaBackendBytes);
  integer('maxTxnOps', options.maxTxnOps, 1);
  integer('maxRequestBytes', options.maxRequestBytes, 1);
  integer('bcryptCost', options.bcryptCost, 4, 31);
  milliseconds('watchProgressInterval', options.watchProgressInterval, 1);
  milliseconds('authTokenTtl', options.authTokenTtl, 1000);
  milliseconds('startTimeout', options.startTimeout, 1);
  milliseconds('keepAlive.minTime', options.keepAlive?.minTime);
  milliseconds('keepAlive.interval', options.keepAlive?.interval);
  milliseconds('keepAlive.timeout', options.keepAlive?.timeout);
  checkAutoCompaction(options.autoCompaction);
}

function checkTiming(options: EtcdOptions): void {
  integer('heartbeatInterval', options.heartbeatInterval, 1);
  const least = 5 * (options.heartbeatInterval ?? HEARTBEAT);
  const election = options.electionTimeout ?? ELECTION;
  if (!Number.isInteger(election) || election < least || election > LONGEST_ELECTION) {
    throw new ArgumentError(
      'electionTimeout',
      `whole milliseconds from ${least} (five heartbeats) to ${LONGEST_ELECTION}`,
      election,
    );
  }
}

function checkTopology(options: EtcdOptions): void {
  if ((options.members ?? 1) > 1) {
    for (const option of [...URL_OPTIONS, 'initialCluster'] as const) {
      if (options[option] !== undefined) {
        throw new ArgumentError(option, 'left out when "members" is more than 1', options[option]);
      }
    }
  }
  oneOf('clusterState', options.clusterState, ['new', 'existing']);
  if (options.clusterState === 'existing' && options.initialCluster === undefined) {
    throw new ArgumentError('initialCluster', 'given when "clusterState" is "existing"', undefined);
  }
}

function checkUrls(options: EtcdOptions): void {
  for (const option of URL_OPTIONS) {
    const tls = option.endsWith('PeerUrls') ? options.peerTls : options.tls;
    const scheme = tls === undefined ? 'http' : 'https';
    for (const url of nonEmptyList(option, options[option]) ?? []) {
      checkUrl(option, url, scheme);
    }
  }
  for (const side of ['Client', 'Peer'] as const) {
    const listen = options[`listen${side}Urls`] ?? [];
    if (options[`advertise${side}Urls`] === undefined && listen.some(isAnyAddress)) {
      throw new ArgumentError(
        `advertise${side}Urls`,
        `given when "listen${side}Urls" has an address that nobody can dial`,
        undefined,
      );
    }
  }
}

function checkUrl(option: string, text: string, scheme: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const host = url === undefined ? '' : bareHost(url);
  const bindable = option.startsWith('advertise') || host === 'localhost' || isIP(host) !== 0;
  if (url?.protocol !== `${scheme}:` || !/:[1-9]\d*\/?$/.test(text) || !bindable) {
    const where = option.startsWith('advertise') ? 'host' : 'IP address or localhost';
    throw new ArgumentError(option, `URLs like ${scheme}://<${where}>:<port>`, text);
  }
}

function checkTexts(options: EtcdOptions): void {
  checkName(options.name);
  for (const option of ['binary', 'dir', 'walDir', 'clusterToken', 'authToken'] as const) {
    nonEmpty(option, options[option]);
  }
  oneOf('logLevel', options.logLevel, LOG_LEVELS);
  checkAuth(options.auth);
  for (const flag of options.flags ?? []) {
    if (typeof flag !== 'string' || !/^--[a-z]/.test(flag)) {
      throw new ArgumentError('flags', 'texts like "--flag=value"', flag);
    }
  }
}

function nonEmptyList(
  option: string,
  value: readonly string[] | undefined,
): readonly string[] | undefined {
  if (value !== undefined && (!Array.isArray(value) || value.length === 0)) {
    throw new ArgumentError(option, 'a list with at least one URL', value);
  }
  return value;
}

function isAnyAddress(url: string): boolean {
  return ['0.0.0.0', '::'].includes(bareHost(new URL(url)));
}

function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}
