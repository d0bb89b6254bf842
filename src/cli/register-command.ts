import { ArgumentError } from '../core/store/errors.js';
import type { ServiceLayout } from '../discovery/layout.js';
import type { NewInstance } from '../discovery/registration-options.js';
import { isRecord } from '../discovery/service-instance.js';
import { lineOf, say } from './output.js';
import { type MeanwhileFlags, runMeanwhile } from './run-meanwhile.js';

/** What the command line says about an instance. */
export interface RegisterFlags extends MeanwhileFlags {
  readonly layout: ServiceLayout;
  readonly id?: string;
  readonly tag?: readonly string[];
  readonly zone?: string;
  readonly version?: string;
  readonly weight?: number;
  readonly metadata?: string;
}

/** `register`: an instance is found while a command runs, or until interrupted. Resolves to the exit status. */
export async function register(
  name: string,
  address: string,
  flags: RegisterFlags,
  command: readonly string[] | undefined,
): Promise<number> {
  const instance = instanceOf(address, flags);
  return runMeanwhile(command, flags, async (coordinator, signal) => {
    const service = coordinator.service(name, { layout: flags.layout });
    const registration = await service.register(instance, { signal });
    registration
      .on('lost', ({ reason }) => say(`the registration is lost (${reason}), and being put back`))
      .on('conflict', () => say(`somebody else has registered as ${registration.instance.id}`))
      .on('registered', () => say('registered again'))
      .on('error', (error) => say(lineOf(error)));
    const { id } = registration.instance;
    return {
      env: { ETCD_RECIPES_INSTANCE_ID: id },
      facts: { id, key: `${flags.namespace ?? ''}${registration.key}` },
      // Others are to call somebody else while it ends what it has.
      ending: () => void registration.drain().catch(() => {}),
      end: () => registration.close(),
    };
  });
}

/** @throws ArgumentError if the metadata are no object of JSON. */
function instanceOf(address: string, flags: RegisterFlags): NewInstance {
  const { id, tag: tags, zone, version, weight, metadata } = flags;
  return {
    address,
    ...(id !== undefined && { id }),
    ...(tags && { tags }),
    ...(zone !== undefined && { zone }),
    ...(version !== undefined && { version }),
    ...(weight !== undefined && { weight }),
    ...(metadata !== undefined && { metadata: objectIn(metadata) }),
  };
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Told below.
  }
  if (isRecord(value)) return value;
  throw new ArgumentError('--metadata', 'an object of JSON', text);
}
