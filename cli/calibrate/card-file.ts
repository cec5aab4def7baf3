import { access, constants, realpath, stat } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import type { Config } from '../../shared/config/schema.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import { parseCard } from '../../shared/model/card.ts';
import { readText } from '../../shared/runtime/file.ts';
import { writeWhole } from '../../shared/runtime/whole-file.ts';
import { parseYaml, withField } from '../../shared/runtime/yaml.ts';
import { loadModel } from '../library/library.ts';
import { modelFolders } from '../models.ts';

const CODE = 'TESSERA_MODEL_CARD';

/** A model.yaml that a calibration may be written into. */
export interface CardFile {
  readonly path: string;
  /** Replaces the `calibrated` field; the rest of the file stays. The file changes atomically. */
  write(calibrated: ModelCard['calibrated']): Promise<void>;
}

/**
 * The model.yaml of a model. Throws TESSERA_USAGE, before any work is done, where there is none, where it is the bundled
 * model's, or where it cannot be written.
 */
export async function writable(model: string, config: Config): Promise<CardFile> {
  const folders = modelFolders(config);
  const { cardPath } = await loadModel(model, folders);
  if (cardPath === undefined)
    throw new TesseraError('TESSERA_USAGE', `${model} has no model.yaml to write into`, {
      hint: `\`tessera model add ${model}\` makes one; then calibrate the model that it added`,
    });
  // The file itself where the folder holds a link to it.
  const path = await realpath(cardPath);
  if (!relative(await realpath(folders.bundledDir), path).startsWith('..'))
    throw new TesseraError('TESSERA_USAGE', `${path} belongs to Tessera itself`, {
      hint: `copy its folder, or omit --write`,
    });
  for (const place of [path, dirname(path)])
    await access(place, constants.W_OK).catch((cause) => {
      throw new TesseraError('TESSERA_USAGE', `${place} cannot be written`, { cause, hint: 'fix its permissions' });
    });
  return {
    path,
    async write(calibrated) {
      const text = withField(await readText(path), 'calibrated', calibrated, path, CODE);
      // The written file must be readable again.
      parseCard(parseYaml(text, path, CODE), path);
      await writeWhole({ what: 'the card', path, mode: (await stat(path)).mode & 0o7777 }, text);
    },
  };
}
