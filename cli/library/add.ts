import { access, cp, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, normalize, resolve, sep } from 'node:path';
import { TesseraError } from '../../shared/errors.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import { cardDocument } from '../../shared/model/card-document.ts';
import { nameOfFile } from '../../shared/model/guess.ts';
import { isNamedLabels } from '../../shared/model/named-labels.ts';
import { nearest } from '../../shared/nearest.ts';
import { externalTensors } from '../../shared/onnx/external.ts';
import { withoutUnusedInputs } from '../../shared/onnx/inputs-outputs.ts';
import type { Model } from '../../shared/onnx/model.ts';
import { readModel } from '../../shared/onnx/read.ts';
import { isName } from '../../shared/protocol/topics.ts';
import { fileSha256, readBytes } from '../../shared/runtime/file.ts';
import { makePath } from '../../shared/runtime/make-path.ts';
import { externalFiles } from '../../shared/runtime/package.ts';
import { type Trials, withTrials } from '../../shared/runtime/trial.ts';
import { flushFolder, takeName } from '../../shared/runtime/whole-file.ts';
import { stringifyYaml } from '../../shared/runtime/yaml.ts';
import { storageError, systemCodeOf } from '../../shared/storage-fault.ts';
import { addingFolder } from './adding-folder.ts';
import { catalogueCard, readCatalogue } from './catalogue.ts';
import { type DownloadOptions, download } from './download.ts';
import { guessByTrial } from './guess-by-trial.ts';
import { loadModel } from './library.ts';

/** How a model is added. */
export interface AddOptions {
  /** Folder of the library that the model's own folder goes into. */
  readonly dest: string;
  /** File like config/models.yaml; needed for names. */
  readonly catalogue?: string;
  /** Name in the library; default: the catalogue's or the file's. */
  readonly name?: string | undefined;
  /** Replace a model of that name. */
  readonly force?: boolean | undefined;
  /** Shape of the first input, where the file leaves dimensions open. */
  readonly inputShape?: readonly number[] | undefined;
  readonly download?: DownloadOptions;
  /** Aborts at once; no file of the model is left then. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Runs the model that was assembled in `folder`, before it enters the library; throws where it does not run. `scratch`
   * is a folder for temporary files, `trials` the process in which a bare file has run already.
   */
  readonly tryOut?: ((folder: string, scratch: string, trials: Trials) => Promise<void>) | undefined;
}

/** A model that is now in the library. */
export interface AddedModel {
  readonly name: string;
  readonly folder: string;
  readonly card: ModelCard;
  /** Fields marked `# guessed` in its model.yaml. */
  readonly guessedFields: readonly string[];
  /** How its outputs are read, in words, where a trial run showed it. */
  readonly taken: string | undefined;
  /** Observations where the meaning of the outputs is uncertain; model.yaml has them too. */
  readonly known: readonly string[];
}

/** A network and its card, to be written. */
interface Found {
  readonly modelPath: string;
  readonly card: ModelCard;
  readonly labels: readonly string[];
  readonly guessedFields: readonly string[];
  readonly taken?: string | undefined;
  readonly known?: readonly string[] | undefined;
}

/** Labels beyond this number go into a file of their own. */
const LABELS_INLINE = 16;

const isUrl = (source: string) => /^(https?|file):\/\//i.test(source);

async function fromUrl(url: string, folder: string, options: AddOptions, trials: Trials): Promise<Found> {
  const modelPath = join(folder, basename(new URL(url).pathname) || 'model.onnx');
  const { inputShape, signal } = options;
  await download(url, modelPath, { signal, ...options.download });
  const model = readModel(await readBytes(modelPath));
  for (const location of externalLocations(model)) {
    const part = join(folder, location);
    makePath(dirname(part));
    // Encoded, so that a location stays a name beside the model and never becomes another address.
    const name = location.split(/[/\\]/).map(encodeURIComponent);
    await download(new URL(name.join('/'), url).href, part, { signal, ...options.download });
  }
  const { guessed, ...of } = await guessByTrial(modelPath, withoutUnusedInputs(model), { inputShape }, trials);
  return { modelPath, ...of, labels: inlineLabels(of.card), guessedFields: guessed };
}

async function fromCatalogue(name: string, folder: string, options: AddOptions): Promise<Found> {
  const catalogue = options.catalogue === undefined ? undefined : await readCatalogue(options.catalogue);
  const entry = catalogue?.models[name];
  if (entry === undefined) {
    const names = Object.keys(catalogue?.models ?? {});
    const near = nearest(name, names);
    throw new TesseraError(
      'TESSERA_MODEL_UNKNOWN',
      `there is no file "${name}" and no model of that name to get${near === undefined ? '' : `, did you mean "${near}"?`}`,
      { hint: `give a path, a URL, or one of: ${names.join(', ') || 'none'}` },
    );
  }
  const modelPath = join(folder, 'model.onnx');
  await download(entry.url, modelPath, { signal: options.signal, ...options.download });
  const sha256 = await fileSha256(modelPath);
  if (sha256 !== entry.sha256)
    throw new TesseraError('TESSERA_DOWNLOAD', `${entry.url}: SHA-256 is ${sha256}, expected ${entry.sha256}`, {
      hint: 'the file was changed on its way or at its origin: do not use it; try again later or report it',
    });
  if (externalLocations(readModel(await readBytes(modelPath))).length > 0)
    throw new TesseraError('TESSERA_MODEL_UNSUPPORTED', `${name}: its weights lie in further files without a hash`);
  const card = catalogueCard(name, entry);
  return { modelPath, card, labels: inlineLabels(card), guessedFields: [] };
}

async function fromPath(path: string, { inputShape }: AddOptions, trials: Trials): Promise<Found> {
  return loadModel(resolve(path), { modelsDirs: [], inputShape, trials });
}

/** A file without a card that the catalogue knows by its hash needs no guess. */
async function recognised(found: Found, options: AddOptions): Promise<Found> {
  if (found.guessedFields.length === 0 || options.catalogue === undefined) return found;
  const sha256 = await fileSha256(found.modelPath);
  const known = Object.entries((await readCatalogue(options.catalogue)).models).find(
    ([, entry]) => entry.sha256 === sha256,
  );
  if (known === undefined) return found;
  const card = { ...catalogueCard(...known), name: found.card.name };
  return { ...found, card, labels: inlineLabels(card), guessedFields: [], taken: undefined };
}

function inlineLabels(card: ModelCard): readonly string[] {
  return Array.isArray(card.labels) ? card.labels : [];
}

/** Where a model says that its weights lie, as relative paths inside its folder. */
function externalLocations(model: Model): string[] {
  const files = new Set<string>();
  for (const { data } of externalTensors(model)) {
    if (data.kind !== 'external') continue;
    const path = normalize(data.location);
    if (isAbsolute(path) || path.startsWith(`..${sep}`) || path === '..')
      throw new TesseraError('TESSERA_MODEL_INVALID', `weights lie outside the model's folder: ${data.location}`);
    files.add(path);
  }
  return [...files];
}

/** Writes model.onnx, its weight files, labels.txt and model.yaml into `folder`. */
async function write(found: Found, folder: string, name: string): Promise<ModelCard> {
  const model = readModel(await readBytes(found.modelPath));
  const target = join(folder, 'model.onnx');
  // The file itself where the source is a link: links do not lead out of a model's folder.
  if (resolve(found.modelPath) !== resolve(target)) await cp(found.modelPath, target, { dereference: true });
  for (const file of await externalFiles(found.modelPath, model)) {
    const part = join(folder, file);
    if (resolve(dirname(found.modelPath), file) === resolve(part)) continue;
    makePath(dirname(part));
    await cp(join(dirname(found.modelPath), file), part, { dereference: true });
  }
  const { labels } = found;
  const list =
    typeof found.card.labels === 'string' && isNamedLabels(found.card.labels) ? found.card.labels : undefined;
  const inFile = list === undefined && labels.length > LABELS_INLINE;
  if (inFile) await writeFile(join(folder, 'labels.txt'), `${labels.join('\n')}\n`);
  const card: ModelCard = {
    ...found.card,
    name,
    model: 'model.onnx',
    sha256: await fileSha256(target),
    labels: list ?? (inFile ? 'labels.txt' : labels.length > 0 ? [...labels] : undefined),
  };
  const guesses = found.guessedFields.map((field) => ({ path: field.split('.'), text: 'guessed' }));
  const heading = [
    guesses.length === 0
      ? 'Written by `tessera model add`.'
      : 'Written by `tessera model add`. What the file does not say is marked "guessed":\ncheck those lines, and remove the mark from correct ones.',
    ...(found.known === undefined || found.known.length === 0
      ? []
      : [
          'The meaning of its outputs is not certain, so they stay raw (docs/models.md has every decoder). What is known:',
        ]),
    ...(found.known ?? []).map((line) => `- ${line}`),
  ].join('\n');
  await writeFile(join(folder, 'model.yaml'), stringifyYaml(cardDocument(card), { heading, comments: guesses }));
  return card;
}

/**
 * Puts a model into the library as a folder with model.onnx and model.yaml. `source` is a path (an .onnx file, a model
 * folder or a card), a URL, or a name of the catalogue. The folder appears whole or not at all.
 * Throws TesseraError: TESSERA_MODEL_UNKNOWN, TESSERA_MODEL_INVALID, TESSERA_MODEL_CARD, TESSERA_DOWNLOAD, and
 * TESSERA_USAGE when the name is taken, TESSERA_STORAGE when it cannot be written; then the folder is unchanged. Also
 * throws what `tryOut` throws, and the reason of the signal.
 */
export async function addModel(source: string, options: AddOptions): Promise<AddedModel> {
  const place = { what: 'the models folder', path: options.dest, elsewhere: 'set models.dir to another folder' };
  try {
    makePath(options.dest);
  } catch (error) {
    throw storageError(error, place, 'made');
  }
  const scratch = await addingFolder(options.dest).catch((error: unknown) => {
    throw storageError(error, place);
  });
  try {
    return await withTrials({ signal: options.signal }, (trials) =>
      unlessAborted(putTogether(source, scratch, options, trials), options.signal),
    );
  } catch (error) {
    options.signal?.throwIfAborted();
    // Faults of the model or its source have a code; others are faults of the disk.
    throw systemCodeOf(error) === undefined ? error : storageError(error, place);
  } finally {
    // Retries, since an aborted download may still write.
    await rm(scratch, { recursive: true, force: true, maxRetries: 3, retryDelay: 50 });
  }
}

/** The value, or the signal's reason as soon as it is aborted. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  work.catch(() => {});
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function putTogether(source: string, scratch: string, options: AddOptions, trials: Trials): Promise<AddedModel> {
  const got = join(scratch, 'got');
  const made = join(scratch, 'made');
  await mkdir(got);
  await mkdir(made);
  const found = isUrl(source)
    ? await recognised(await fromUrl(source, got, options, trials), options)
    : isName(source) && !(await isPath(source))
      ? await fromCatalogue(source, got, options)
      : await recognised(await fromPath(source, options, trials), options);
  const name = options.name ?? (isUrl(source) ? nameOfFile(new URL(source).pathname) : found.card.name);
  if (!isName(name))
    throw new TesseraError('TESSERA_USAGE', `"${name}" is no name for a model`, {
      hint: 'use 1 to 64 of A-Z, a-z, 0-9, _ and -',
    });
  const folder = join(options.dest, name);
  if (!options.force && (await isPath(folder)))
    throw new TesseraError('TESSERA_USAGE', `${folder} exists already`, {
      hint: 'use --force to replace it, or --name for another name',
    });
  options.signal?.throwIfAborted();
  const card = await write(found, made, name);
  options.signal?.throwIfAborted();
  await options.tryOut?.(made, scratch, trials);
  options.signal?.throwIfAborted();
  await replaceFolder(made, folder, join(scratch, 'old'));
  const { guessedFields, taken, known = [] } = found;
  return { name, folder, card, guessedFields, taken, known };
}

/** Flushes a folder and replaces another one by it; after a fault the old one is still there. */
async function replaceFolder(made: string, folder: string, old: string): Promise<void> {
  await flushFolder(made);
  const isReplaced = await rename(folder, old).then(
    () => true,
    (error: unknown) => {
      if (systemCodeOf(error) === 'ENOENT') return false;
      throw error;
    },
  );
  try {
    await takeName(made, { what: 'the model', path: folder });
  } catch (error) {
    if (isReplaced) await rename(old, folder).catch(() => {});
    throw error;
  }
}

async function isPath(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
