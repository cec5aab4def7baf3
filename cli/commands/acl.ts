import { TesseraError } from '../../shared/errors.ts';
import { defineCommand } from '../command.ts';
import { oneOf, string, value, valueOr, values } from '../options.ts';
import { type RoleName, roleName } from '../role-name.ts';

/** `tessera acl`: the access rules for another broker. */
export const command = defineCommand({
  description:
    'Prints the access rules that the built-in broker applies as a file for another broker: nodes by pattern (the user ' +
    "name is the node's id), central, and a section for each other user that is named. With --passwords it also keeps a " +
    'password file: it adds missing users, and shows each new password once, on standard error.',
  options: {
    format: valueOr('--format <format>', 'mosquitto: an acl_file of Mosquitto 2', oneOf('mosquitto'), 'mosquitto'),
    user: values(
      '--user <user>',
      'a node, or ROLE:NAME (camera, viewer, home, admin); repeat it for several',
      roleName,
    ),
    passwords: value('--passwords <file>', 'password file to make or to add the users to', string),
  },
  examples: [
    ['acl --user camera:front --user viewer:anna > acl', 'rules for central, all nodes, a camera and a viewer'],
    ['acl --user pi-1 --user admin:me --passwords passwd > acl', 'and their passwords, in a password_file'],
  ],
  async run({ options, out, config: loadConfig }) {
    const { config } = await loadConfig();
    const [{ mosquittoAcl, usersOfPasswordFile }, { identityOfUser, isRoleName, userName }] = await Promise.all([
      import('../../broker/mosquitto.ts'),
      import('../../broker/policy.ts'),
    ]);
    const users = new Map<string, RoleName>([['central', { role: 'central', name: 'central' }]]);
    for (const { role, name } of options.user) {
      if (!isRoleName(role, name))
        throw new TesseraError('TESSERA_USAGE', `"${name}" cannot name a ${role}`, {
          hint: role === 'node' ? 'use a-z, 0-9 and -' : 'use A-Z, a-z, 0-9, _ and -',
        });
      users.set(userName(role, name), { role, name });
    }
    if (options.passwords !== undefined) {
      const text = await addPasswords(options.passwords, [...users.keys()], out.note);
      // A user of an earlier file must keep its section; without one it would have the rights of a node.
      for (const user of usersOfPasswordFile(text)) {
        const identity = identityOfUser(user);
        if (!users.has(user) && identity !== undefined) users.set(user, identity);
      }
    }
    for (const line of mosquittoAcl([...users.values()], config.mqtt.base_topic, config.homeassistant.prefix))
      out.line(line);
    return 0;
  },
});

/** Adds the users that the file lacks, printing each new password; returns all users of the file. */
async function addPasswords(file: string, users: readonly string[], tell: (text: string) => void): Promise<string> {
  const { readText } = await import('../../shared/runtime/file.ts');
  const { mosquittoPassword, usersOfPasswordFile } = await import('../../broker/mosquitto.ts');
  const { newSecret } = await import('../../shared/runtime/secret.ts');
  const { writeWhole } = await import('../../shared/runtime/whole-file.ts');
  const failed = (error: unknown): never => {
    throw new TesseraError('TESSERA_USAGE', `--passwords ${file}: ${(error as Error).message}`, {
      hint: 'name a file that this user may read and write',
      cause: error,
    });
  };
  const old = await readText(file).catch((error: NodeJS.ErrnoException) =>
    error.code === 'ENOENT' ? '' : failed(error),
  );
  const known = usersOfPasswordFile(old);
  const missing = users.filter((user) => !known.includes(user));
  if (missing.length === 0) return old;
  const secrets = missing.map((user) => ({ user, password: newSecret() }));
  const lines = secrets.map(({ user, password }) => mosquittoPassword(user, password));
  const text = `${[old.replace(/\n$/, ''), ...lines].filter((line) => line !== '').join('\n')}\n`;
  await writeWhole({ what: '--passwords', path: file, elsewhere: 'name another file' }, text);
  for (const { user, password } of secrets) tell(`user ${user}, password ${password}`);
  return text;
}
