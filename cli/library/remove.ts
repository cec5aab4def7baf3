import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TesseraError } from '../../shared/errors.ts';
import { nearest } from '../../shared/nearest.ts';
import { isName } from '../../shared/protocol/topics.ts';
import { type LibraryPlaces, listModels } from './library.ts';

/** Where a model is removed: `dir` is the user's own folder, the only one that changes. */
export interface RemovePlaces extends LibraryPlaces {
  readonly dir: string;
}

/** Names of files that only a model's folder has. */
const MODEL_FILE = /\.onnx$|^model\.yaml$/i;

/**
 * Removes a model from the user's folder and returns the removed paths. Throws TESSERA_MODEL_UNKNOWN where no model has
 * that name, TESSERA_USAGE for what is no model of that folder.
 */
export async function removeModel(name: string, places: RemovePlaces): Promise<string[]> {
  const { dir } = places;
  if (!isName(name))
    throw new TesseraError('TESSERA_USAGE', `"${name}" is no name of a model`, {
      hint: `only models in ${dir} are removed, by their names (\`tessera model list\`); delete other files yourself`,
    });
  const folder = join(dir, name);
  const found = await lstat(folder).catch(() => undefined);
  if (found?.isDirectory()) {
    const entries = await readdir(folder);
    if (!entries.some((entry) => MODEL_FILE.test(entry)))
      throw new TesseraError('TESSERA_USAGE', `${folder} holds no model, so it is not removed`, {
        hint: 'look into it, and delete it yourself',
      });
    return remove([folder]);
  }
  // A link to a folder elsewhere is removed as a link; what it leads to stays.
  if (found?.isSymbolicLink()) return remove([folder]);
  const files: string[] = [];
  for (const ending of ['.onnx', '.yaml', '.labels.txt', '.txt']) {
    const path = join(dir, `${name}${ending}`);
    if ((await lstat(path).catch(() => undefined)) !== undefined) files.push(path);
  }
  if (files[0]?.endsWith('.onnx')) return remove(files);
  throw await notThere(name, places);
}

async function remove(paths: readonly string[]): Promise<string[]> {
  for (const path of paths)
    await rm(path, { recursive: true }).catch((cause: Error) => {
      throw new TesseraError('TESSERA_USAGE', `${path} cannot be removed: ${cause.message}`, {
        hint: 'remove it as the user who owns the folder',
        cause,
      });
    });
  return [...paths];
}

async function notThere(name: string, places: RemovePlaces): Promise<TesseraError> {
  const models = await listModels(places);
  if (models.some((model) => model.name === name && model.bundled))
    return new TesseraError('TESSERA_USAGE', `model "${name}" comes with Tessera and stays`, {
      hint: 'a model of your own with that name takes its place (`tessera model add FILE --name NAME`)',
    });
  const own = models.filter(({ bundled }) => !bundled).map((model) => model.name);
  const near = nearest(name, own);
  return new TesseraError(
    'TESSERA_MODEL_UNKNOWN',
    `there is no model "${name}" in ${places.dir}${near === undefined ? '' : `, did you mean "${near}"?`}`,
    { hint: own.length === 0 ? 'the library holds no models of yours' : `it holds ${own.join(', ')}` },
  );
}
