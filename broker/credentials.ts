import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { TesseraError } from '../shared/errors.ts';
import { parse, z } from '../shared/schema.ts';
import { type Identity, isRoleName, ROLES, type Role, userName } from './policy.ts';

/**
 * Who may connect from beyond this machine: `credentials.json` in the state directory, mode 0600.
 *
 *   1. A secret is kept as its hash and shown once, when it is issued; only one that was asked to be kept stands in
 *      the file itself, so that the same join command can be printed at every start.
 *   2. Secrets are made here from 192 random bits, so that one salted SHA-256 is enough: nothing shorter is accepted
 *      from anybody, and there is nothing to guess that a slow hash would protect.
 *   3. The file is replaced whole by rename: a crash leaves the old one or the new one.
 *   4. A user name says role and name, `<role>-<name>`; the user name of a node or central is its id.
 */

const FILE = 'credentials.json';
const SECRET_BYTES = 24;
const hex = z.string().regex(/^([0-9a-f]{2})+$/);
const fileSchema = z.object({
  version: z.literal(1),
  users: z.record(
    z.string().max(128),
    z.object({
      role: z.enum(ROLES),
      name: z.string().max(64),
      salt: hex,
      hash: hex.length(64),
      secret: z.string().max(64).optional(),
    }),
  ),
});
type CredentialFile = z.infer<typeof fileSchema>;

/** What the broker asks of credentials. */
export interface CredentialStore {
  /** Who that user is, or undefined when the user is unknown or the password wrong; both take the same time. */
  verify(user: string, password: string): Identity | undefined;
}

/** What a client connects with. */
export interface Secret {
  readonly user: string;
  readonly password: string;
}

/** Credentials kept in a file. */
export interface Credentials extends CredentialStore {
  /** Makes a new secret for a role and name, in place of an earlier one; only its hash is kept. */
  issue(role: Role, name: string): Promise<Secret>;
  /** The secret of a role and name that is kept readable, made at first use: the same at every start. */
  keep(role: Role, name: string): Promise<Secret>;
  /** Takes the right to connect away; connections that stand end with their next connection. */
  revoke(user: string): Promise<boolean>;
  users(): { user: string; role: Role; name: string }[];
}

/**
 * Opens the credentials in `folder`, making both where there are none. Throws TesseraError TESSERA_CONFIG when the
 * file is not one of ours.
 */
export async function createCredentials(folder: string): Promise<Credentials> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, FILE);
  let file = await readCredentials(path);
  let saving: Promise<unknown> = Promise.resolve();
  const save = (next: CredentialFile): Promise<void> => {
    file = next;
    const done = saving.then(() => writeCredentials(path, next));
    saving = done.catch(() => {});
    return done;
  };
  // Names come from the network: an inherited property (`constructor`) is nobody's entry.
  const known = (user: string) => (Object.hasOwn(file.users, user) ? file.users[user] : undefined);
  const issue = async (role: Role, name: string, keep: boolean): Promise<Secret> => {
    if (!isRoleName(role, name)) {
      const hint = { node: 'use a-z, 0-9 and -; not "central"', central: 'central is named "central"' }[role as string];
      throw new TesseraError('TESSERA_CONFIG', `"${name}" cannot name a ${role}`, {
        hint: hint ?? 'use A-Z, a-z, 0-9, _ and -',
      });
    }
    const user = userName(role, name);
    const taken = known(user);
    if (taken !== undefined && taken.role !== role) {
      throw new TesseraError('TESSERA_CONFIG', `the user name ${user} belongs to the ${taken.role} ${taken.name}`, {
        hint: 'choose another name',
      });
    }
    const password = randomBytes(SECRET_BYTES).toString('base64url');
    const salt = randomBytes(16).toString('hex');
    const hash = hashOf(salt, password).toString('hex');
    const entry = { role, name, salt, hash, ...(keep && { secret: password }) };
    await save({ version: 1, users: { ...file.users, [user]: entry } });
    return { user, password };
  };
  return {
    verify(user, password) {
      const entry = known(user);
      const { salt, hash } = entry ?? { salt: '00', hash: '00'.repeat(32) };
      const equal = timingSafeEqual(hashOf(salt, password), Buffer.from(hash, 'hex'));
      return equal && entry !== undefined ? { role: entry.role, name: entry.name } : undefined;
    },
    issue: (role, name) => issue(role, name, false),
    async keep(role, name) {
      const user = userName(role, name);
      const password = known(user)?.secret;
      return password === undefined ? issue(role, name, true) : { user, password };
    },
    async revoke(user) {
      if (known(user) === undefined) return false;
      const { [user]: _gone, ...users } = file.users;
      await save({ version: 1, users });
      return true;
    },
    users: () => Object.entries(file.users).map(([user, { role, name }]) => ({ user, role, name })),
  };
}

const hashOf = (salt: string, password: string): Buffer =>
  createHash('sha256').update(Buffer.from(salt, 'hex')).update(password).digest();

async function readCredentials(path: string): Promise<CredentialFile> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { version: 1, users: {} };
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

async function writeCredentials(path: string, file: CredentialFile): Promise<void> {
  const next = `${path}.new`;
  const handle = await open(next, 'w', 0o600);
  try {
    await handle.chmod(0o600);
    await handle.writeFile(`${JSON.stringify(file, null, 2)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(next, path);
}
