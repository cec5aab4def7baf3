import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { compiledFile } from '../shared/runtime/worker-entry.ts';

/**
 * How this program is started, in words that can mean no other one. A bare `npx tessera` would fetch a stranger's
 * package of that name wherever it is typed outside of this one's folder, and hand over what stands behind it.
 */

/** In the folder of the package, on any machine; elsewhere it finds nothing. */
export const IN_ITS_FOLDER = 'node dist/cli/main.js';

/** What a process knows of how it was started. */
interface Start {
  /** As it was called: the script, or a link to it. */
  readonly called: string;
  readonly script: string;
  readonly cwd: string;
  /** Folders that a shell searches. */
  readonly path: readonly string[];
  /** The script of an installed bundle that started the process. */
  readonly launcher?: string | undefined;
}

/**
 * How to start the same program from the same folder: by its installed name where a shell finds that, else by its file.
 */
export function ownCommand({ called, script, cwd, path, launcher }: Start): string {
  if (launcher !== undefined) return path.includes(dirname(launcher)) ? 'tessera' : launcher;
  const folder = dirname(resolve(cwd, called));
  const isInstalled = /[\\/]tessera$/.test(called) && !folder.includes('node_modules') && path.includes(folder);
  if (isInstalled) return 'tessera';
  const inside = relative(cwd, script);
  const file = inside.startsWith('..') || isAbsolute(inside) ? script : inside;
  return `node ${/[^\w./\\:-]/.test(file) ? JSON.stringify(file) : file}`;
}

/** A text whose commands (`tessera nodes`) can be typed unchanged. */
export function asTyped(text: string, own: string): string {
  return text.replaceAll('`tessera ', `\`${own} `);
}

/** `asTyped` for this process. */
export function withOwnCommand(text: string): string {
  return text.includes('`tessera ') ? asTyped(text, thisCommand()) : text;
}

/** `ownCommand` of this process. */
export function thisCommand(): string {
  return ownCommand({
    called: process.argv[1] ?? '',
    script: compiledFile(import.meta.url, './main.ts'),
    cwd: process.cwd(),
    path: (process.env.PATH ?? '').split(':'),
    launcher: process.env.TESSERA_LAUNCHER,
  });
}
