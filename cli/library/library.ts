import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { TesseraError } from '../../shared/errors.ts';
import { type ModelCard, parseCard } from '../../shared/model/card.ts';
import { guessCard } from '../../shared/model/guess.ts';
import { parseLabels } from '../../shared/model/labels.ts';
import { isNamedLabels, NAMED_LABELS, type NamedLabels } from '../../shared/model/named-labels.ts';
import { nearest } from '../../shared/nearest.ts';
import { withoutUnusedInputs } from '../../shared/onnx/inputs-outputs.ts';
import { readModel } from '../../shared/onnx/read.ts';
import { isName } from '../../shared/protocol/topics.ts';
import { fileSha256, fileWithin, readBytes, readText } from '../../shared/runtime/file.ts';
import type { Trials } from '../../shared/runtime/trial.ts';
import { packageFolder } from '../../shared/runtime/version.ts';
import { commentedFields, parseYaml } from '../../shared/runtime/yaml.ts';
import { readCatalogue } from './catalogue.ts';
import { guessByTrial } from './guess-by-trial.ts';

/** Where models are searched, and how they are loaded. */
export interface LibraryPlaces {
  /** The user's folders of model folders; the first one that has a name wins. */
  readonly modelsDirs: readonly string[];
  /** The folder of the bundled models; searched last. */
  readonly bundledDir?: string;
  /** A catalogue like config/models.yaml, for hints; absent: `<bundledDir>.yaml`. */
  readonly catalogue?: string;
  /** Shape of the first input; overrides card and file. */
  readonly inputShape?: readonly number[] | undefined;
  /**
   * Folder that `model` and `labels` of a card are relative to; absent: the card's own folder, in which both must then
   * lie.
   */
  readonly base?: string;
  /** False: a bare file is not run, and its card is guessed from shapes alone; for lists. */
  readonly trial?: boolean;
  /** The process in which a bare file is run; absent: a new one for this file. */
  readonly trials?: Trials | undefined;
}

/** A model that can be run. */
export interface LoadedModel {
  readonly card: ModelCard;
  /** File of the card; undefined for a bare file, whose card is guessed at each load. */
  readonly cardPath: string | undefined;
  readonly modelPath: string;
  /** SHA-256 of the model file where the card names it, which was checked. */
  readonly sha256?: string | undefined;
  /** Names of the classes; empty where there are none. */
  readonly labels: readonly string[];
  /** Whether any field of the card is guessed; `guessedFields` names them. */
  readonly guessed: boolean;
  readonly guessedFields: readonly string[];
  /** Observations on a bare file whose outputs stay raw, because no decoder is certain. */
  readonly known?: readonly string[];
  /** How the outputs are read, in words, where a trial run showed it. */
  readonly taken?: string | undefined;
}

/** A model of the library, or an entry there that cannot be loaded, with the reason. */
export interface ListedModel {
  readonly name: string;
  readonly path: string;
  readonly bundled: boolean;
  readonly card?: ModelCard;
  /** Whether any field of the card is guessed; that of a bare file is guessed from shapes alone. */
  readonly guessed?: boolean;
  readonly error?: string;
}

const CARD = 'model.yaml';

async function kindOf(path: string): Promise<'file' | 'folder' | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ? 'file' : found?.isDirectory() ? 'folder' : undefined;
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Reads and validates a card file. Throws TesseraError TESSERA_MODEL_CARD. */
export async function readCard(path: string): Promise<{ card: ModelCard; guessedFields: readonly string[] }> {
  const text = await readText(path).catch((cause) => {
    throw new TesseraError('TESSERA_MODEL_CARD', `${path} cannot be read: ${cause.message}`, { cause });
  });
  const card = parseCard(parseYaml(text, path, 'TESSERA_MODEL_CARD') ?? {}, path);
  return { card, guessedFields: commentedFields(text, 'guessed') };
}

/** A file that a card names. It has to lie in the card's folder, as cards may come from untrusted sources. */
async function namedFile(
  where: string,
  field: string,
  folder: string,
  name: string,
  { base }: LibraryPlaces,
): Promise<string> {
  if (base !== undefined) return resolve(base, name);
  return fileWithin(folder, name).catch((error: Error) => {
    throw new TesseraError('TESSERA_MODEL_CARD', `${where}: ${field}: ${name} ${error.message}`, {
      hint: 'put the file into the folder of the model, and name it by its path from there',
    });
  });
}

async function loadLabels(card: ModelCard, folder: string, places: LibraryPlaces): Promise<readonly string[]> {
  if (card.labels === undefined) return [];
  if (typeof card.labels !== 'string') return card.labels;
  if (isNamedLabels(card.labels)) return namedLabels(card.labels);
  const path = await namedFile(`model "${card.name}"`, 'labels', folder, card.labels, places);
  const text = await readText(path).catch((cause) => {
    throw new TesseraError(
      'TESSERA_MODEL_CARD',
      `model "${card.name}": labels: ${path} cannot be read: ${cause.message}`,
      {
        hint: 'put the labels there, one a line, or remove `labels` from model.yaml',
        cause,
      },
    );
  });
  return parseLabels(text);
}

/** The labels of a bundled list. */
async function namedLabels(name: NamedLabels): Promise<readonly string[]> {
  const { file, first } = NAMED_LABELS[name];
  return [...first, ...parseLabels(await readText(join(packageFolder(), 'config', 'labels', file)))];
}

/** The card with input name and shape from the file where it has none; open dimensions leave the shape unset. */
async function completed(card: ModelCard, modelPath: string, { inputShape }: LibraryPlaces): Promise<ModelCard> {
  if (inputShape !== undefined) return { ...card, input: { ...card.input, shape: [...inputShape] } };
  if (card.input.tensor !== undefined && card.input.shape !== undefined) return card;
  const first = withoutUnusedInputs(readModel(await readBytes(modelPath))).graph.inputs.find(
    ({ name }) => card.input.tensor === undefined || name === card.input.tensor,
  );
  if (first === undefined) return card;
  const shape = first.shape?.map((size, axis) => (axis === 0 && typeof size !== 'number' ? 1 : size));
  const known = shape?.every((size) => typeof size === 'number' && size > 0) ? (shape as number[]) : undefined;
  const input = { ...card.input, tensor: first.name, shape: card.input.shape ?? known };
  return parseCard({ ...card, input }, modelPath);
}

async function loadCardFile(cardPath: string, places: LibraryPlaces): Promise<LoadedModel> {
  const { card, guessedFields } = await readCard(cardPath);
  const folder = places.base ?? dirname(cardPath);
  const modelPath = await namedFile(cardPath, 'model', folder, card.model, places);
  if ((await kindOf(modelPath)) !== 'file')
    throw new TesseraError('TESSERA_MODEL_CARD', `${cardPath}: model: there is no file ${modelPath}`, {
      hint: `put the network there, or correct \`model\` in ${basename(cardPath)}`,
    });
  if (card.sha256 !== undefined && (await fileSha256(modelPath)) !== card.sha256)
    throw new TesseraError('TESSERA_MODEL_INVALID', `${modelPath} is not the file that ${cardPath} was written for`, {
      hint: 'get that file again, or remove sha256 from the card if the change is intended',
    });
  const labels = await loadLabels(card, folder, places);
  const guessed = guessedFields.length > 0;
  const { sha256 } = card;
  return {
    card: await completed(card, modelPath, places),
    cardPath,
    modelPath,
    sha256,
    labels,
    guessed,
    guessedFields,
  };
}

/** A bare ONNX file: its card is `<file>.yaml` or a model.yaml beside it that names it, else it is guessed. */
async function loadFile(modelPath: string, places: LibraryPlaces): Promise<LoadedModel> {
  const folder = dirname(modelPath);
  const stem = basename(modelPath).replace(/\.onnx$/i, '');
  const own = join(folder, `${stem}.yaml`);
  if ((await kindOf(own)) === 'file') return loadCardFile(own, places);
  const shared = join(folder, CARD);
  if ((await kindOf(shared)) === 'file') {
    const { card } = await readCard(shared);
    if (resolve(folder, card.model) === resolve(modelPath)) return loadCardFile(shared, places);
  }
  let labels: readonly string[] = [];
  for (const name of [`${stem}.labels.txt`, `${stem}.txt`, 'labels.txt']) {
    const text = await readText(await namedFile(modelPath, 'labels', folder, name, { modelsDirs: [] })).catch(
      () => undefined,
    );
    if (text === undefined) continue;
    labels = parseLabels(text);
    break;
  }
  const model = withoutUnusedInputs(readModel(await readBytes(modelPath)));
  const options = { labels: labels.length > 0 ? labels : undefined, inputShape: places.inputShape };
  const { card, guessed, taken, known } =
    places.trial === false
      ? guessCard(model, modelPath, options)
      : await guessByTrial(modelPath, model, options, places.trials);
  return {
    card,
    cardPath: undefined,
    modelPath,
    labels: await loadLabels(card, folder, places),
    guessed: guessed.length > 0,
    guessedFields: guessed,
    taken,
    known,
  };
}

async function loadFolder(folder: string, places: LibraryPlaces): Promise<LoadedModel> {
  const card = join(folder, CARD);
  if ((await kindOf(card)) === 'file') return loadCardFile(card, places);
  const files = (await entriesOf(folder)).filter((entry) => /\.onnx$/i.test(entry.name));
  if (files.length === 1) return loadFile(join(folder, files[0]!.name), places);
  throw new TesseraError(
    'TESSERA_MODEL_UNKNOWN',
    `${folder} holds no ${CARD}${files.length === 0 ? '' : ` and ${files.length} .onnx files`}`,
    { hint: 'name one .onnx file, or run `tessera model add FILE.onnx`' },
  );
}

/** Path of a library entry: `<name>/` or `<name>.onnx`, the user's folders before the bundled one. */
async function findInLibrary(name: string, places: LibraryPlaces): Promise<string | undefined> {
  for (const folder of foldersOf(places)) {
    const path = join(folder, name);
    if ((await kindOf(path)) === 'folder') return path;
    if ((await kindOf(`${path}.onnx`)) === 'file') return `${path}.onnx`;
  }
  return undefined;
}

function foldersOf({ modelsDirs, bundledDir }: LibraryPlaces): readonly string[] {
  return bundledDir === undefined ? modelsDirs : [...modelsDirs, bundledDir];
}

/**
 * Finds a model and everything that running it needs. `nameOrPath` is a name of the library, a model folder, a card
 * file, or an .onnx file. Throws TesseraError: TESSERA_MODEL_UNKNOWN when there is no such model (the error names the
 * nearest), TESSERA_MODEL_CARD, TESSERA_MODEL_INVALID.
 */
export async function loadModel(nameOrPath: string, places: LibraryPlaces): Promise<LoadedModel> {
  const path = (isName(nameOrPath) ? await findInLibrary(nameOrPath, places) : undefined) ?? nameOrPath;
  const kind = await kindOf(path);
  if (kind === 'folder') return loadFolder(path, places);
  if (kind === 'file') return /\.ya?ml$/i.test(path) ? loadCardFile(path, places) : loadFile(path, places);
  if (!isName(nameOrPath))
    throw new TesseraError('TESSERA_MODEL_UNKNOWN', `there is no file or folder ${nameOrPath}`, {
      hint: 'name an .onnx file, a model folder, or a model of the library (`tessera model list`)',
    });
  const known = (await listModels(places)).filter((model) => model.error === undefined).map((model) => model.name);
  const offered = await namesOffered(places);
  if (offered.includes(nameOrPath))
    throw new TesseraError('TESSERA_MODEL_UNKNOWN', `model "${nameOrPath}" is not in the library yet`, {
      hint: `\`tessera model add ${nameOrPath}\` gets it`,
    });
  const near = nearest(nameOrPath, [...known, ...offered]);
  throw new TesseraError(
    'TESSERA_MODEL_UNKNOWN',
    `there is no model "${nameOrPath}"${near === undefined ? '' : `, did you mean "${near}"?`}`,
    {
      hint: `known are ${known.join(', ') || 'none'}; \`tessera model add\` gets others${offered.length === 0 ? '' : ` (${offered.join(', ')})`}, and a path to an .onnx file works too`,
    },
  );
}

/** Names that `tessera model add` can get. */
async function namesOffered({ catalogue, bundledDir }: LibraryPlaces): Promise<string[]> {
  const path = catalogue ?? (bundledDir === undefined ? undefined : `${bundledDir}.yaml`);
  if (path === undefined || (await kindOf(path)) !== 'file') return [];
  return Object.keys((await readCatalogue(path)).models);
}

/** Every model of the library with its card; of several with one name the one that `loadModel` finds. */
export async function listModels(places: LibraryPlaces): Promise<ListedModel[]> {
  const listed = new Map<string, ListedModel>();
  const untried = { ...places, trial: false };
  for (const folder of foldersOf(places))
    for (const entry of await entriesOf(folder)) {
      const isFolder = entry.isDirectory();
      if (entry.name.startsWith('.') || !(isFolder || /\.onnx$/i.test(entry.name))) continue;
      const name = isFolder ? entry.name : entry.name.replace(/\.onnx$/i, '');
      if (listed.has(name)) continue;
      const path = join(folder, entry.name);
      const bundled = folder === places.bundledDir;
      const about = { name, path, bundled };
      try {
        const { card, guessed } = isFolder ? await loadFolder(path, untried) : await loadFile(path, untried);
        listed.set(name, { ...about, card, guessed });
      } catch (error) {
        listed.set(name, { ...about, error: (error as Error).message });
      }
    }
  return [...listed.values()];
}
