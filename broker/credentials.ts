import { randomBytes } from 'node:crypto';
import { chmod, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TesseraError } from '../shared/errors.ts';
import { readText } from '../shared/runtime/file.ts';
import { makeFolder } from '../shared/runtime/folder.ts';
import { type HashedSecret, hashSecret, isSecret, newSecret } from '../shared/runtime/secret.ts';
import { elsewhereOf } from '../shared/runtime/state-directory.ts';
import { writeWhole } from '../shared/runtime/whole-file.ts';
import { parse, z } from '../shared/schema.ts';
import { type Identity, isRoleName, ROLES, type Role, userName } from './policy.ts';

/**
 * Credentials of clients beyond this machine: `credentials.json` in the state directory, mode 0600.
 *
 *   user: unknown --invite--> invited --redeem--> known --revoke--> banned
 *         unknown --admit---> known               invited --revoke, expiry--> unknown
 *         banned --invite, admit--> as from unknown
 *
 *   1. Clients make their own secrets; the file holds hashes, and a secret that was shown once is never read back.
 *   2. An invitation lets its bearer set the secret of one user name, once, until it expires.
 *   3. A known user keeps its secret until a new one is set: an unused invitation changes nothing.
 *   4. The file is replaced as a whole: a crash or a full disk leaves the old one or the new one.
 *   5. A user name contains role and name, `<role>-<name>`; the user name of a node or central is its id.
 *   6. A banned user name is refused with a certificate, too.
 *   7. Revoking takes effect at once. `credentials.reserve` keeps disk space for writing it down; a write that fails
 *      all the same is logged and repeated until it succeeds.
 */

const FILE = 'credentials.json';
const RESERVE = 'credentials.reserve';
/** Above the largest file of a deployment, which has a thousand users. */
const RESERVE_BYTES = 256 * 1024;
/** Between two attempts to write down that a user was revoked. */
const RETRY_MS = 10_000;
const hex = z.string().regex(/^([0-9a-f]{2})+$/);
const entry = { role: z.enum(ROLES), name: z.string().max(64), salt: hex, hash: hex.length(64) };
const userNames = z.string().max(128);
const fileSchema = z.object({
  version: z.literal(1),
  users: z.record(userNames, z.object(entry)),
  /** `expires`: Unix seconds. */
  invitations: z.record(userNames, z.object({ ...entry, expires: z.number() })).default({}),
  revoked: z.array(userNames).default([]),
});
type CredentialFile = z.infer<typeof fileSchema>;

/** What the broker needs of credentials. */
export interface CredentialStore {
  /** The identity of a user; undefined where the user is unknown or the password wrong, which take the same time. */
  verify(user: string, password: string): Identity | undefined;
  /** Sets the secret of a user with the code of a valid invitation; false, and nothing changed, for any other code. */
  redeem?(user: string, code: string, secret: string): Promise<boolean>;
  /** Whether a user's access was revoked. */
  isRevoked?(user: string): boolean;
}

/** What a client connects with. */
export interface Secret {
  readonly user: string;
  readonly password: string;
}

/** Credentials in a file. */
export interface Credentials extends Required<CredentialStore> {
  /** Makes a new secret for a role and name, in place of an earlier one. */
  issue(role: Role, name: string): Promise<Secret>;
  /** Stores a secret that the client made, in place of an earlier one; returns the user name. */
  admit(role: Role, name: string, secret: HashedSecret): Promise<string>;
  /** Opens an invitation, in place of an earlier one; `expires` in Unix seconds. Returns the user name. */
  invite(role: Role, name: string, code: HashedSecret, expires: number): Promise<string>;
  /**
   * Removes secret and invitation of a user and bans the name; false for an unknown user, whom `always` bans, too.
   * Throws TESSERA_STORAGE where that cannot be written: the user is refused all the same, until the broker is
   * restarted.
   */
  revoke(user: string, always?: boolean): Promise<boolean>;
  users(): { user: string; role: Role; name: string }[];
}

/**
 * Opens the credentials in `folder`, making both where they are missing; `now` is the time in Unix seconds. Throws
 * TesseraError TESSERA_CONFIG for a file of another program, TESSERA_STORAGE where the folder cannot be made.
 */
export async function createCredentials(folder: string, now = () => Date.now() / 1000): Promise<Credentials> {
  await makeFolder({ what: "the folder of the broker's secrets", path: folder, elsewhere: elsewhereOf(folder) });
  const path = join(folder, FILE);
  const reserve = join(folder, RESERVE);
  let file = await readCredentials(path);
  /** Revoked users that the file does not list yet. */
  const out = new Set<string>();
  let saving: Promise<unknown> = Promise.resolve();
  let retry: NodeJS.Timeout | undefined;
  const write = async (next: CredentialFile): Promise<void> => {
    const place = { what: 'the secrets of users', path, elsewhere: elsewhereOf(path) };
    const text = `${JSON.stringify(next, null, 2)}\n`;
    await writeWhole(place, text).catch(async () => {
      await rm(reserve, { force: true });
      await writeWhole(place, text);
    });
    await keepReserve(reserve);
  };
  /** Changes the file, then the copy in memory; `undefined` changes nothing and gives false. */
  const change = (to: (now: CredentialFile) => CredentialFile | undefined, readmitted?: string): Promise<boolean> => {
    const done = saving.then(async () => {
      const changed = to(file);
      if (changed === undefined) return false;
      const gone = [...out].filter((user) => user !== readmitted);
      const open = Object.entries(changed.invitations).filter(([, { expires }]) => expires > now());
      const next = gone.reduce(thrownOut, { ...changed, invitations: Object.fromEntries(open) });
      await write(next);
      file = next;
      for (const user of [...gone, readmitted ?? '']) out.delete(user);
      return true;
    });
    saving = done.catch(() => {});
    return done;
  };
  const admitted = (from: CredentialFile, user: string, role: Role, name: string, secret: HashedSecret) => {
    const { [user]: _used, ...invitations } = from.invitations;
    const users = { ...from.users, [user]: { role, name, ...secret } };
    return { ...from, users, invitations, revoked: without(from.revoked, user) };
  };
  const admit = async (role: Role, name: string, secret: HashedSecret): Promise<string> => {
    const user = freeName(file, role, name);
    await change((from) => admitted(from, freeName(from, role, name), role, name, secret), user);
    return user;
  };
  const isOpen = (from: CredentialFile, user: string, code: string): boolean => {
    const open = own(from.invitations, user);
    return isSecret(code, open) && open !== undefined && open.expires > now() && !out.has(user);
  };
  const writeOut = (): Promise<boolean> => {
    clearTimeout(retry);
    return change((from) => from).catch((error: unknown) => {
      retry = setTimeout(() => void writeOut().catch(() => {}), RETRY_MS).unref();
      throw error;
    });
  };
  await keepReserve(reserve);
  return {
    verify(user, password) {
      const known = own(file.users, user);
      const isRight = isSecret(password, known);
      return isRight && known !== undefined && !out.has(user) ? { role: known.role, name: known.name } : undefined;
    },
    redeem(user, code, secret) {
      return change((from) => {
        const open = own(from.invitations, user);
        if (open === undefined || !isOpen(from, user, code)) return undefined;
        return admitted(from, user, open.role, open.name, hashSecret(secret));
      });
    },
    isRevoked: (user) => out.has(user) || file.revoked.includes(user),
    async issue(role, name) {
      const password = newSecret();
      return { user: await admit(role, name, hashSecret(password)), password };
    },
    admit,
    async invite(role, name, code, expires) {
      const user = freeName(file, role, name);
      await change((from) => {
        const invitations = { ...from.invitations, [freeName(from, role, name)]: { role, name, ...code, expires } };
        return { ...from, invitations, revoked: without(from.revoked, user) };
      }, user);
      return user;
    },
    async revoke(user, always = false) {
      const isKnown = own(file.users, user) !== undefined || own(file.invitations, user) !== undefined;
      if (!isKnown && !always) return false;
      out.add(user);
      await writeOut();
      return isKnown;
    },
    users: () => Object.entries(file.users).map(([user, { role, name }]) => ({ user, role, name })),
  };
}

/** Own properties only: names come from the network, and `constructor` is no user. */
const own = <T>(record: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined;

const thrownOut = (from: CredentialFile, user: string): CredentialFile => {
  const { [user]: _known, ...users } = from.users;
  const { [user]: _invited, ...invitations } = from.invitations;
  return { ...from, users, invitations, revoked: [...without(from.revoked, user), user] };
};

/** Reserves disk space; on a full disk the next change tries again. */
async function keepReserve(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.size === RESERVE_BYTES) return;
  // Random bytes, because a file system that compresses would reserve nothing for zeros.
  await writeFile(path, randomBytes(RESERVE_BYTES), { mode: 0o600 }).catch(() =>
    rm(path, { force: true }).catch(() => {}),
  );
}

const without = (list: readonly string[], item: string): string[] => list.filter((one) => one !== item);

/** The user name of a role and name; throws TESSERA_CONFIG for an invalid name or one of another role. */
function freeName({ users, invitations }: CredentialFile, role: Role, name: string): string {
  if (!isRoleName(role, name)) {
    const hint = { node: 'use a-z, 0-9 and -; not "central"', central: 'central is named "central"' }[role as string];
    throw new TesseraError('TESSERA_CONFIG', `"${name}" cannot name a ${role}`, {
      hint: hint ?? 'use A-Z, a-z, 0-9, _ and -',
    });
  }
  const user = userName(role, name);
  const taken = own(users, user) ?? own(invitations, user);
  if (taken === undefined || taken.role === role) return user;
  throw new TesseraError('TESSERA_CONFIG', `the user name ${user} belongs to the ${taken.role} ${taken.name}`, {
    hint: 'choose another name',
  });
}

async function readCredentials(path: string): Promise<CredentialFile> {
  let text: string;
  try {
    text = await readText(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      return { version: 1, users: {}, invitations: {}, revoked: [] };
    throw new TesseraError('TESSERA_CONFIG', `${path} cannot be read`, {
      cause: error,
      hint: 'check who owns the state directory',
    });
  }
  // A copied file may have looser rights.
  await chmod(path, 0o600);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return parse(fileSchema, json, 'TESSERA_CONFIG', path, 'move the file away to begin with new credentials');
}
