import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Collects garbage until `isGone`; says whether it is in the end. */
export async function collected(isGone: () => boolean): Promise<boolean> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 20 && !isGone(); i += 1) {
    // What was looked at is kept until then.
    await setImmediate();
    collect();
    await setImmediate();
  }
  return isGone();
}
