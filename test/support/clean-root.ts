import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Why scripts cannot be run in a root of their own here; undefined where they can. */
export const NO_CLEAN_ROOT =
  process.getuid?.() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0
    ? undefined
    : 'no root with mount namespaces';

/**
 * The root of a small Debian: the programs of this machine, read-only, and nothing else of it. `stubs` are scripts that
 * stand in for programs, and come first in the path.
 */
export function makeCleanRoot(root: string, stubs: Readonly<Record<string, string>>): void {
  for (const folder of [
    'usr',
    'etc',
    'home',
    'tmp',
    'dev',
    'proc',
    'var/log',
    'var/lib',
    'boot/firmware',
    'stubs',
    'opt',
  ])
    mkdirSync(join(root, folder), { recursive: true });
  for (const link of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${link}`, join(root, link));
  for (const file of ['/etc/login.defs', '/etc/nsswitch.conf', '/etc/ld.so.cache']) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    copyFileSync(file, join(root, file));
  }
  const write = (name: string, text: string): void => writeFileSync(join(root, 'etc', name), text);
  write('passwd', 'root:x:0:0:root:/root:/bin/sh\nfirst:x:1000:1000::/home/first:/bin/bash\n');
  write('group', 'root:x:0:\nfirst:x:1000:\n');
  write('shadow', 'root:*:19000:0:99999:7:::\nfirst:*:19000:0:99999:7:::\n');
  write('hosts', '127.0.0.1\tlocalhost\n127.0.1.1\traspberrypi\n');
  mkdirSync(join(root, 'home/first'));
  mkdirSync(join(root, 'etc/sudoers.d'));
  for (const [name, text] of Object.entries(stubs)) {
    writeFileSync(join(root, 'stubs', name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(root, 'stubs', name), 0o755);
  }
}

/** The words that run a command in such a root. */
export function inCleanRoot(root: string, ...words: readonly string[]): string[] {
  const script =
    'mount --bind -o ro /usr "$1/usr" && mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc" && root=$1 && ' +
    'shift && exec chroot "$root" env -i PATH=/stubs:/usr/sbin:/usr/bin "$@"';
  return ['unshare', '-m', 'sh', '-c', script, 'sh', root, ...words];
}

/** Runs a command in such a root. Throws where its exit code is not 0. */
export function runInRoot(root: string, ...words: readonly string[]): void {
  const [program, ...rest] = inCleanRoot(root, ...words);
  execFileSync(program!, rest);
}
