import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TesseraError } from '../errors.ts';

/**
 * The compiled JavaScript of a worker thread's entry file. `importer` is the caller's `import.meta.url`, `name` the
 * entry beside it, as `./executor-worker.ts`. Compiled code finds its neighbour; a TypeScript source (vitest, tsx)
 * finds the same file under dist/, since Node 20 cannot start a thread from TypeScript.
 * Throws TESSERA_INTERNAL where it was not compiled.
 */
export function workerEntry(importer: string, name: string): URL {
  const beside = new URL(name.replace(/\.ts$/, '.js'), importer);
  if (!importer.endsWith('.ts')) return beside;
  // This file is shared/runtime/worker-entry.ts, so the root is two folders up.
  const root = new URL('../../', import.meta.url);
  const compiled = new URL(`dist/${beside.href.slice(root.href.length)}`, root);
  if (!existsSync(fileURLToPath(compiled)))
    throw new TesseraError('TESSERA_INTERNAL', `${fileURLToPath(compiled)} does not exist`, {
      hint: 'Run `npm run build` first.',
    });
  return compiled;
}

/** The same as a path, for starting a process. */
export function compiledFile(importer: string, name: string): string {
  return fileURLToPath(workerEntry(importer, name));
}
