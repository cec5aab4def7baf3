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
 *   7. Who is thrown out is out at once. On a full disk room is kept for writing that down (`credentials.reserve`); where it
 *      cannot be written all the same, that is said, and tried again until it is.
 */

const FILE = 'credentials.json';
const RESERVE = 'credentials.reserve';
/** More than the largest file of a deployment takes: of a thousand users. */
const RESERVE_BYTES = 256 * 1024;
/** Between two attempts to write down who was thrown out. */
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
  /**
   * Takes secret and invitation of a user away and bans the name; false for an unknown one, which `always` bans too.
   * Throws TESSERA_STORAGE where that cannot be written: the user is out all the same, until the broker is started again.
   */
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
  const reserve = join(folder, RESERVE);
  let file = await readCredentials(path);
  /** Who was thrown out, and is not yet in the file as such. */
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
  /** Changes the file, and what holds here once that is done; `undefined` changes nothing and is false. */
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

/** Names come from the network: an inherited property (`constructor`) is nobody's entry. */
const own = <T>(record: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined;

const thrownOut = (from: CredentialFile, user: string): CredentialFile => {
  const { [user]: _known, ...users } = from.users;
  const { [user]: _invited, ...invitations } = from.invitations;
  return { ...from, users, invitations, revoked: [...without(from.revoked, user), user] };
};

/** Keeps room on the disk; where there is none now, the next change tries again. */
async function keepReserve(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.size === RESERVE_BYTES) return;
  // Random, since file systems that compress would keep no room for zeros.
  await writeFile(path, randomBytes(RESERVE_BYTES), { mode: 0o600 }).catch(() =>
    rm(path, { force: true }).catch(() => {}),
  );
}

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
