import { chmod } from 'node:fs/promises';
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
 * Who may connect from beyond this machine: `credentials.json` in the state directory, mode 0600.
 *
 *   user: unknown --invite--> invited --redeem--> known --revoke--> banned
 *         unknown --admit---> known               invited --revoke, expiry--> unknown
 *         banned --invite, admit--> as from unknown
 *
 *   1. Secrets are kept as their hashes and are made by whoever uses them; what is shown once is never read back.
 *   2. An invitation lets its bearer set the secret of one user name, once, until it expires.
 *   3. Whoever is known keeps his secret until a new one is set: an invitation that nobody uses changes nothing.
 *   4. The file is replaced whole: a crash or a full disk leaves the old one or the new one.
 *   5. A user name says role and name, `<role>-<name>`; the user name of a node or central is its id.
 *   6. A user name that is banned does not come in by a certificate either.
 */

const FILE = 'credentials.json';
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

/** What the broker asks of credentials. */
export interface CredentialStore {
  /** Who that user is, or undefined when the user is unknown or the password wrong; both take the same time. */
  verify(user: string, password: string): Identity | undefined;
  /** Sets the secret of a user who has the code of an open invitation; false, and nothing done, for any other. */
  redeem?(user: string, code: string, secret: string): Promise<boolean>;
  /** Whether a user was thrown out. */
  isRevoked?(user: string): boolean;
}

/** What a client connects with. */
export interface Secret {
  readonly user: string;
  readonly password: string;
}

/** Credentials kept in a file. */
export interface Credentials extends Required<CredentialStore> {
  /** Makes a new secret for a role and name, in place of an earlier one. */
  issue(role: Role, name: string): Promise<Secret>;
  /** Takes a secret that somebody else made, in place of an earlier one; returns the user name. */
  admit(role: Role, name: string, secret: HashedSecret): Promise<string>;
  /** Opens an invitation, in place of an earlier one; `expires` in Unix seconds. Returns the user name. */
  invite(role: Role, name: string, code: HashedSecret, expires: number): Promise<string>;
  /** Takes secret and invitation of a user away and bans the name; false for an unknown one, which `always` bans too. */
  revoke(user: string, always?: boolean): Promise<boolean>;
  users(): { user: string; role: Role; name: string }[];
}

/**
 * Opens the credentials in `folder`, making both where there are none; `now` is the time in Unix seconds. Throws
 * TesseraError TESSERA_CONFIG when the file is not one of ours, TESSERA_STORAGE when the folder cannot be made.
 */
export async function createCredentials(folder: string, now = () => Date.now() / 1000): Promise<Credentials> {
  await makeFolder({ what: "the folder of the broker's secrets", path: folder, elsewhere: elsewhereOf(folder) });
  const path = join(folder, FILE);
  let file = await readCredentials(path);
  let saving: Promise<unknown> = Promise.resolve();
  const save = (next: CredentialFile): Promise<void> => {
    const open = Object.entries(next.invitations).filter(([, { expires }]) => expires > now());
    file = { ...next, invitations: Object.fromEntries(open) };
    const text = `${JSON.stringify(file, null, 2)}\n`;
    const done = saving.then(() =>
      writeWhole({ what: 'the secrets of users', path, elsewhere: elsewhereOf(path) }, text),
    );
    saving = done.catch(() => {});
    return done;
  };
  const admit = async (role: Role, name: string, secret: HashedSecret): Promise<string> => {
    const user = freeName(file, role, name);
    const { [user]: _used, ...invitations } = file.invitations;
    const users = { ...file.users, [user]: { role, name, ...secret } };
    await save({ ...file, users, invitations, revoked: without(file.revoked, user) });
    return user;
  };
  return {
    verify(user, password) {
      const known = own(file.users, user);
      return isSecret(password, known) && known !== undefined ? { role: known.role, name: known.name } : undefined;
    },
    async redeem(user, code, secret) {
      const open = own(file.invitations, user);
      if (!isSecret(code, open) || open === undefined || open.expires <= now()) return false;
      await admit(open.role, open.name, hashSecret(secret));
      return true;
    },
    isRevoked: (user) => file.revoked.includes(user),
    async issue(role, name) {
      const password = newSecret();
      return { user: await admit(role, name, hashSecret(password)), password };
    },
    admit,
    async invite(role, name, code, expires) {
      const user = freeName(file, role, name);
      const invitations = { ...file.invitations, [user]: { role, name, ...code, expires } };
      await save({ ...file, invitations, revoked: without(file.revoked, user) });
      return user;
    },
    async revoke(user, always = false) {
      const { [user]: known, ...users } = file.users;
      const { [user]: invited, ...invitations } = file.invitations;
      const isKnown = known !== undefined || invited !== undefined;
      if (isKnown || always)
        await save({ ...file, users, invitations, revoked: [...without(file.revoked, user), user] });
      return isKnown;
    },
    users: () => Object.entries(file.users).map(([user, { role, name }]) => ({ user, role, name })),
  };
}

/** Names come from the network: an inherited property (`constructor`) is nobody's entry. */
const own = <T>(record: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined;

const without = (list: readonly string[], item: string): string[] => list.filter((one) => one !== item);

/** The user name of a role and name; throws TESSERA_CONFIG for a name that cannot be had, or that is somebody else's. */
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
  // Somebody may have copied it about with looser rights.
  await chmod(path, 0o600);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return parse(fileSchema, json, 'TESSERA_CONFIG', path, 'move the file away to begin with new credentials');
}
