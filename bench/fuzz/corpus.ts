import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makePath } from '../../shared/runtime/make-path.ts';
import { packageFolder } from '../../shared/runtime/version.ts';

/**
 * test/corpus/<target>/: inputs that are tried first in every run. `seed-*` are valid samples that no code makes,
 * `found-*` are inputs that once caused a fault. They are never removed.
 */
const folderOf = (target: string): string => join(packageFolder(), 'test', 'corpus', target);

/** The inputs kept for a target, in the order of their names. */
export function corpusOf(target: string): Uint8Array[] {
  const folder = folderOf(target);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .sort()
    .map((file) => new Uint8Array(readFileSync(join(folder, file))));
}

/** Keeps an input for ever; returns its path. */
export function keepFound(target: string, input: Uint8Array): string {
  const folder = folderOf(target);
  makePath(folder);
  const path = join(folder, `found-${createHash('sha256').update(input).digest('hex').slice(0, 8)}`);
  writeFileSync(path, input);
  return path;
}
