import { ArgumentError } from '../core/store/errors.js';
import { type HoldFlags, waitOptions } from './lock-options.js';
import { lineOf, say } from './output.js';
import { type MeanwhileFlags, runMeanwhile } from './run-meanwhile.js';

/** What the command line says about a member. */
export interface JoinFlags extends MeanwhileFlags, Pick<HoldFlags, 'wait'> {
  readonly id?: string;
}

/** `join`: a member of a group while a command runs, or until interrupted. Resolves to the exit status. */
export async function join(
  name: string,
  text: string | undefined,
  flags: JoinFlags,
  command: readonly string[] | undefined,
): Promise<number> {
  const payload = payloadIn(text);
  return runMeanwhile(command, flags, async (coordinator, signal) => {
    const { id } = flags;
    const wait = waitOptions(flags, signal);
    const group = coordinator.group(name);
    const member = await group.join(payload, { ...wait, ...(id !== undefined && { id }) });
    const { id: ours, token = 0n } = member;
    member
      .on('lost', ({ reason }) => say(`we are no member any more (${reason}), and join again`))
      .on('waiting', () => say(`somebody else is the member ${ours}`))
      .on('joined', () => say('joined again'))
      .on('error', (error) => say(lineOf(error)));
    return {
      env: { ETCD_RECIPES_MEMBER_ID: ours },
      facts: { id: ours, token: String(token) },
      end: () => member.leave(),
    };
  });
}

/** @throws ArgumentError if it is no JSON. */
function payloadIn(text = 'null'): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ArgumentError('PAYLOAD', 'JSON', text);
  }
}
