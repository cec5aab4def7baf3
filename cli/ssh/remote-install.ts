import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { TesseraError } from '../../shared/errors.ts';

/** A machine that `ssh` reaches. */
export interface Remote {
  /** `USER@HOST`, or a name of the user's ssh configuration. */
  readonly destination: string;
  /** Another configuration file for `ssh`. */
  readonly config: string | undefined;
}

/** What a machine says of itself. */
export interface RemoteMachine {
  /** Architecture, as Node names it. */
  readonly arch: 'arm64' | 'x64';
  /** Host name as a node's id may be. */
  readonly host: string;
  /** The id of the node that it is by now; undefined where it is none. */
  readonly member: string | undefined;
}

const ARCHES: Readonly<Record<string, RemoteMachine['arch']>> = { arm64: 'arm64', amd64: 'x64' };

/** Commands of root, for whoever has logged in. */
const AS_ROOT = 'sudo=; [ "$(id -u)" = 0 ] || sudo="sudo -n"';
/** Comes before what is read: a user's shell may say something as it starts. */
const MARK = 'tessera looks';
/** Of the membership only the id leaves the machine. */
const LOOK = `${AS_ROOT}; echo '${MARK}' && dpkg --print-architecture && hostname && $sudo true && {
$sudo sed -n 's/^ *"user": "\\(.*\\)",*$/\\1/p' /var/lib/tessera-agent/membership.json 2>/dev/null || true; }`;
/** Reads the token's line, which no list of processes then shows, and takes the rest of the input for the package. */
const INSTALL = `set -e; umask 077; ${AS_ROOT}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
IFS= read -r token
printf '%s\\n' "$token" >"$folder/token"
cat >"$folder/tessera.deb"
$sudo dpkg -i "$folder/tessera.deb" >&2
$sudo tessera service install agent --join-file "$folder/token"`;

/** Finds out what a machine is, and whether its user may install. Throws TESSERA_CONFIG where that is not possible. */
export async function lookAtMachine(remote: Remote): Promise<RemoteMachine> {
  const lines = (await ssh(remote, LOOK, [])).split('\n').map((line) => line.trim());
  const [arch = '', host = '', member = ''] = lines.slice(lines.indexOf(MARK) + 1);
  const known = ARCHES[arch];
  if (known === undefined)
    throw new TesseraError('TESSERA_CONFIG', `${remote.destination} is of architecture ${arch}`, {
      hint: 'bundles are for Debian and Raspberry Pi OS on arm64 or amd64; a 32-bit system needs to be installed anew',
    });
  return { arch: known, host: host.toLowerCase().replace(/\..*$/, ''), member: member === '' ? undefined : member };
}

/** Installs a package and an agent that joins by a token. Throws TESSERA_CONFIG with what the machine said. */
export async function installAgent(remote: Remote, token: string, debian: Uint8Array): Promise<void> {
  await ssh(remote, INSTALL, [Buffer.from(`${token}\n`), debian]);
}

async function ssh({ destination, config }: Remote, script: string, input: readonly Uint8Array[]): Promise<string> {
  const words = [...(config === undefined ? [] : ['-F', config]), '-T', '--', destination, script];
  const child = spawn('ssh', words, { stdio: ['pipe', 'pipe', 'pipe'] });
  const failed = once(child, 'error').then(([error]) => {
    throw new TesseraError('TESSERA_CONFIG', `ssh cannot be run: ${(error as Error).message}`, {
      hint: 'install it: apt-get install openssh-client',
    });
  });
  // It may end without reading.
  child.stdin.on('error', () => {});
  for (const piece of input) child.stdin.write(piece);
  child.stdin.end();
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  const [out, said, [code]] = await Promise.race([ended, failed]);
  if (code === 0) return out;
  throw new TesseraError('TESSERA_CONFIG', `${destination}: ${said.trim() || `ssh ended with code ${code}`}`, {
    hint:
      code === 255
        ? `\`ssh ${destination}\` has to work first`
        : 'the user needs `sudo` without a password, or log in as root; the system has to be Debian 12 or newer',
  });
}
