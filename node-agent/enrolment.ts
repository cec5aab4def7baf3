import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type Invitation, joinPassword } from '../shared/config/join.ts';
import { TesseraError } from '../shared/errors.ts';
import type { Log } from '../shared/ports.ts';
import { Backoff } from '../shared/runtime/backoff.ts';
import { type ConnectionFault, isPermanent, isUserRefusal } from '../shared/runtime/broker-failure.ts';
import type { BusOptions } from '../shared/runtime/bus-options.ts';
import { readText } from '../shared/runtime/file.ts';
import { makeFolder } from '../shared/runtime/folder.ts';
import { connectBus } from '../shared/runtime/mqtt.ts';
import { newSecret } from '../shared/runtime/secret.ts';
import { elsewhereOf } from '../shared/runtime/state-directory.ts';
import { takeName, writeWhole } from '../shared/runtime/whole-file.ts';
import { z } from '../shared/schema.ts';
import type { Place } from '../shared/storage-fault.ts';

/**
 * How a machine becomes a node of somebody's cluster: a join token is exchanged for a secret of its own.
 *
 *   stranger --token--> applying (the secret is on disk) --the broker takes it--> member
 *   applying --the broker refuses--> stranger        member --another token--> applying
 *
 *   1. The secret is made here and on disk before the broker hears of it, so that neither a lost answer nor a crash
 *      leaves the broker with a secret that nobody has.
 *   2. The token that a member came in by does nothing more: it may stand in a service file for ever.
 *   3. Somebody who applies stays a member of where he was until he is taken.
 *   4. Both files are readable by their owner only.
 */

const membership = z.object({
  version: z.literal(1),
  server: z.string(),
  base: z.string(),
  ca: z.string().optional(),
  user: z.string(),
  password: z.string(),
  keys: z.array(z.string()).min(1),
  /** SHA-256 of the code that it came in by. */
  invitation: z.string(),
});
/** What a node that joined keeps. */
export type Membership = z.infer<typeof membership>;

const MEMBER = 'membership.json';
const APPLYING = 'membership.applying.json';

/** The membership kept in a state directory; undefined where there is none. Throws TESSERA_CONFIG for a damaged file. */
export function readMembership(stateDir: string): Promise<Membership | undefined> {
  return read(join(stateDir, MEMBER));
}

/** What enrolling needs: how to reach the broker, without credentials. */
export interface EnrolOptions {
  readonly stateDir: string;
  readonly bus: Omit<BusOptions, 'clientId' | 'will' | 'log' | 'user' | 'password'>;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Unix seconds. */
  readonly now?: () => number;
}

/**
 * Becomes a member by an invitation, or finds that this machine is one by it already. Waits for a broker that is away.
 * Throws TESSERA_INVITATION when the broker does not take it, TESSERA_BROKER for other faults that stay; an AbortError
 * when `signal` ends the waiting.
 */
export async function enrol(invitation: Invitation, options: EnrolOptions): Promise<Membership> {
  const { stateDir, log } = options;
  const { server, user, code, keys, ca, base = 'tessera' } = invitation;
  const hash = createHash('sha256').update(code).digest('hex');
  const member = await readMembership(stateDir);
  if (member?.invitation === hash) return member;
  await makeFolder({ what: 'the state directory', path: stateDir, elsewhere: elsewhereOf(stateDir) });
  const file = join(stateDir, APPLYING);
  const earlier = await read(file).catch(() => undefined);
  const password = earlier?.invitation === hash ? earlier.password : newSecret();
  const about = { version: 1, server, base, user, password, keys, invitation: hash } as const;
  const applying: Membership = { ...about, ...(ca === undefined ? {} : { ca }) };
  await writeWhole(placeOf(file), `${JSON.stringify(applying, null, 2)}\n`);
  await untilTaken(invitation, joinPassword(code, password), options);
  await takeName(file, placeOf(join(stateDir, MEMBER)));
  log.info(`joined as ${user}; the token is used up`);
  return applying;
}

/** Connects once with the password that joins, trying again while the broker is away. */
async function untilTaken(invitation: Invitation, password: string, options: EnrolOptions): Promise<void> {
  const { bus, log, signal, now = () => Date.now() / 1000 } = options;
  const { user, base = 'tessera' } = invitation;
  const backoff = new Backoff();
  signal.addEventListener('abort', () => backoff.cancel(), { once: true });
  for (;;) {
    signal.throwIfAborted();
    try {
      const joined = await connectBus({ ...bus, user, password, clientId: `${base}-node-${user}-joining`, log });
      await joined.stop();
      return;
    } catch (error) {
      const fault = error instanceof TesseraError ? (error.cause as ConnectionFault | undefined) : undefined;
      if (isUserRefusal(fault?.code)) throw refused(invitation, now());
      if (fault === undefined || isPermanent(fault.code)) throw error;
      log.warn(`${(error as Error).message}; trying again until it answers`);
    }
    await backoff.wait();
  }
}

function refused({ user, expires }: Invitation, now: number): TesseraError {
  const why =
    expires <= now
      ? `expired at ${new Date(expires * 1000).toISOString()}`
      : 'was used already, has expired, or was withdrawn';
  return new TesseraError('TESSERA_INVITATION', `the invitation of ${user} ${why}`, {
    hint: `make a new one on the broker's machine: \`tessera node invite ${user}\``,
  });
}

async function read(file: string): Promise<Membership | undefined> {
  let text: string;
  try {
    text = await readText(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw damaged(file, (error as Error).message);
  }
  try {
    return membership.parse(JSON.parse(text));
  } catch {
    throw damaged(file, 'it is damaged');
  }
}

const placeOf = (path: string): Place => ({ what: 'what this node joined by', path, elsewhere: elsewhereOf(path) });

const damaged = (file: string, why: string): TesseraError =>
  new TesseraError('TESSERA_CONFIG', `what this node joined by, ${file}, cannot be read: ${why}`, {
    hint: 'move the file away and join with a new invitation',
  });
