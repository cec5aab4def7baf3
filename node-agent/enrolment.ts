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
 * How a machine becomes a node of a cluster: it exchanges a join token for a secret of its own.
 *
 *   unknown --token--> applying (the secret is on disk) --the broker accepts it--> member
 *   applying --the broker refuses--> unknown        member --another token--> applying
 *
 * 1. The secret is made here and is on disk before the broker gets it, so that neither a lost answer nor a crash leaves
 *    the broker with a secret that is stored nowhere else.
 * 2. The token by which a member joined has no further use: it may stay in a service file for ever.
 * 3. A node that applies to another cluster stays a member of its cluster until the other one accepts it.
 * 4. Both files are readable by their owner only.
 */

const membership = z.object({
  version: z.literal(1),
  server: z.string(),
  base: z.string(),
  ca: z.string().optional(),
  user: z.string(),
  password: z.string(),
  keys: z.array(z.string()).min(1),
  update_keys: z.array(z.string()).optional(),
  /** SHA-256 of the code with which it joined. */
  invitation: z.string(),
});
/** The file of a node that joined. */
export type Membership = z.infer<typeof membership>;

const MEMBER = 'membership.json';
const APPLYING = 'membership.applying.json';

/** The membership in a state directory; undefined if there is none. Throws TESSERA_CONFIG for a damaged file. */
export function readMembership(stateDir: string): Promise<Membership | undefined> {
  return read(join(stateDir, MEMBER));
}

/** What joining needs: how to reach the broker, without credentials. */
export interface EnrolOptions {
  readonly stateDir: string;
  readonly bus: Omit<BusOptions, 'clientId' | 'will' | 'log' | 'user' | 'password'>;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Unix seconds. */
  readonly now?: () => number;
}

/**
 * Joins by an invitation, unless this machine has joined by it already. Waits for a broker that is offline. Throws
 * TESSERA_INVITATION when the broker refuses the invitation, TESSERA_BROKER for other permanent faults; an AbortError
 * when `signal` ends the waiting.
 */
export async function enrol(invitation: Invitation, options: EnrolOptions): Promise<Membership> {
  const { stateDir, log } = options;
  const { server, user, code, keys, update_keys, ca, base = 'tessera' } = invitation;
  const hash = createHash('sha256').update(code).digest('hex');
  const member = await readMembership(stateDir);
  if (member?.invitation === hash) return member;
  await makeFolder({ what: 'the state directory', path: stateDir, elsewhere: elsewhereOf(stateDir) });
  const file = join(stateDir, APPLYING);
  const earlier = await read(file).catch(() => undefined);
  const password = earlier?.invitation === hash ? earlier.password : newSecret();
  const about = { version: 1, server, base, user, password, keys, update_keys, invitation: hash } as const;
  const applying: Membership = { ...about, ...(ca === undefined ? {} : { ca }) };
  await writeWhole(placeOf(file), `${JSON.stringify(applying, null, 2)}\n`);
  await untilTaken(invitation, joinPassword(code, password), options);
  await takeName(file, placeOf(join(stateDir, MEMBER)));
  log.info(`joined as ${user}; the token is used up`);
  return applying;
}

/** Connects once with the password of the invitation, trying again while the broker is offline. */
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
      const isFinal = bus.whereabouts?.isFinal() ?? true;
      if (isUserRefusal(fault?.code) && isFinal) throw refused(invitation, now());
      if (fault === undefined || (isPermanent(fault.code) && isFinal)) throw error;
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
