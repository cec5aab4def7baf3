import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { coversFilter } from '../shared/protocol/filter.ts';
import { type Role, rulesOf, userName } from './policy.ts';

/**
 * The access rules for Mosquitto (mosquitto.conf(5), acl_file and password_file).
 *
 *   1. `pattern` lines apply to nodes, with %u for the user name, which is the node's id; a new node needs a password
 *      and no new line.
 *   2. Patterns apply to every user, so the section of any other user denies what they would allow. Mosquitto evaluates
 *      `deny` lines first, then the section, then patterns, and refuses the rest.
 */

/** A user with a section of its own. */
export interface AclUser {
  readonly role: Role;
  readonly name: string;
}

/** The lines of an access control file for all nodes and these users, under a base topic. */
export function mosquittoAcl(users: readonly AclUser[], base = 'tessera', prefix?: string): string[] {
  const sections = users.filter(({ role }) => role !== 'node').map((user) => section(user, base, prefix));
  const node = rulesOf({ role: 'node', name: '%u' }, base);
  return [
    `# Access rules of Tessera, base topic ${base}, made by \`tessera acl --format mosquitto\`.`,
    '# Every user that is not a node needs a section here; the others are nodes, and their user name is their id.',
    ...sections.flat(),
    '',
    '# Nodes.',
    ...node.publish.map((filter) => `pattern write ${filter}`),
    ...node.subscribe.map((filter) => `pattern read ${filter}`),
  ];
}

function section(who: AclUser, base: string, prefix: string | undefined): string[] {
  const user = userName(who.role, who.name);
  const own = rulesOf(who, base, prefix);
  const asNode = rulesOf({ role: 'node', name: user }, base);
  const covered = (filters: readonly string[], filter: string): boolean =>
    filters.some((allowed) => coversFilter(allowed, filter));
  const denied = [
    ...asNode.publish.filter((filter) => !covered(own.publish, filter)),
    ...asNode.subscribe.filter((filter) => !covered(own.subscribe, filter)),
  ];
  return [
    '',
    `# ${who.role} ${who.name}`,
    `user ${user}`,
    ...[...new Set(denied)].map((filter) => `topic deny ${filter}`),
    ...own.publish.map((filter) => `topic write ${filter}`),
    ...own.subscribe.map((filter) => `topic read ${filter}`),
  ];
}

/** The default of mosquitto_passwd; passwords of 192 random bits need no more. */
const ITERATIONS = 101;

/**
 * A line of a password file: `user:$7$iterations$salt$hash`, PBKDF2 with SHA-512, as mosquitto_passwd 2.0 writes it.
 */
export function mosquittoPassword(user: string, password: string): string {
  const salt = randomBytes(12);
  const hash = pbkdf2Sync(password, salt, ITERATIONS, 64, 'sha512');
  return `${user}:$7$${ITERATIONS}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

/** The user names of a password file, comments and lines without a name left out. */
export function usersOfPasswordFile(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => !line.startsWith('#') && line.indexOf(':') > 0)
    .map((line) => line.slice(0, line.indexOf(':')));
}
