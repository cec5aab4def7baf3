import { join } from 'node:path';
import type { LoadRequest } from '../central/served-model.ts';
import type { Config } from '../shared/config/schema.ts';
import { type ModelCard, parseCard } from '../shared/model/card.ts';
import { withoutUnusedInputs } from '../shared/onnx/inputs-outputs.ts';
import type { Model } from '../shared/onnx/model.ts';
import { fileSha256 } from '../shared/runtime/file.ts';
import { loadModelFile } from '../shared/runtime/package.ts';
import { withTrials } from '../shared/runtime/trial.ts';
import { packageFolder } from '../shared/runtime/version.ts';
import { listModels, loadModel } from './library/library.ts';

/** A model that a command named, read, and what its user should know about it. */
export interface NamedModel {
  readonly request: LoadRequest;
  readonly notes: readonly string[];
}

/** How frames come: as pictures (default) or as tensors for the first input, whose shape may be given. */
export interface ModelForm {
  readonly picture?: boolean;
  readonly inputShape?: readonly number[] | undefined;
  /** Ends the trial run of a bare file at once. */
  readonly signal?: AbortSignal;
}

/** Where models are looked for by name: the configured folder, then those that come with the package. */
export function modelFolders(config: Config): { modelsDirs: string[]; bundledDir: string } {
  return { modelsDirs: [config.models.dir], bundledDir: join(packageFolder(), 'config', 'models') };
}

/** A model that central is to serve: its name or path, or why it cannot even be read. */
export type ToServe = { readonly name: string; readonly error?: string };

/**
 * The models that central serves if none are configured: those of the models folder, and bundled ones if there are
 * none, or if a camera names them. Unreadable ones are included, with the reason, and so are those that only a camera
 * names: reading them says what is missing.
 */
export async function modelsToServe(config: Config): Promise<ToServe[]> {
  const listed = await listModels(modelFolders(config));
  const asked = new Set(Object.values(config.cameras).flatMap(({ models }) => models));
  const isEmpty = listed.every(({ bundled, error }) => bundled || error !== undefined);
  const found = listed
    .filter(({ name, bundled, error }) => error !== undefined || !bundled || isEmpty || asked.has(name))
    .map(({ name, error }) => (error === undefined ? { name } : { name, error }));
  const missing = [...asked].filter((name) => listed.every((one) => one.name !== name));
  return [...found, ...missing.map((name) => ({ name }))];
}

/** Finds and reads a model by folder, name or file. Throws TesseraError that says what is missing and how to get it. */
export async function loadRequestFor(name: string, config: Config, form: ModelForm = {}): Promise<NamedModel> {
  const { picture = true, inputShape, signal } = form;
  const loaded = await withTrials({ signal }, (trials) =>
    loadModel(name, { ...modelFolders(config), inputShape, trial: picture, trials }),
  );
  const notes: string[] = [];
  if (loaded.guessed && picture) {
    const correct =
      loaded.cardPath === undefined
        ? `\`tessera model add ${name}\` writes a model.yaml; correct it there`
        : `check the lines marked "guessed" in ${loaded.cardPath}`;
    notes.push(`the preprocessing of ${loaded.card.name} is guessed; ${correct}`);
  }
  if (loaded.known !== undefined && loaded.known.length > 0 && picture)
    notes.push(
      `the meaning of the outputs of ${loaded.card.name} is not certain, so they stay raw: ${loaded.known.join('; ')}`,
    );
  if (loaded.card.note !== undefined && picture) notes.push(loaded.card.note);
  const model = withoutUnusedInputs(await loadModelFile(loaded.modelPath));
  const { labels, guessed } = loaded;
  const mismatch = picture ? labelsProblem(loaded.card, labels.length, model) : undefined;
  if (mismatch !== undefined) notes.push(mismatch);
  // Guessed preprocessing does not concern tensors.
  const card = guessed && !picture ? parseCard({ name: loaded.card.name, task: 'raw' }, name) : loaded.card;
  const sha256 = loaded.sha256 ?? (await fileSha256(loaded.modelPath));
  return { request: { name: card.name, card, labels, sha256, model, picture, inputShape }, notes };
}

/** A note about a classifier whose number of labels differs from its classes, or undefined. */
function labelsProblem({ name, task, output }: ModelCard, labels: number, { graph }: Model): string | undefined {
  const [answer = graph.outputs[0]?.name] = output.tensors;
  const shape = graph.outputs.find((port) => port.name === answer)?.shape?.slice(1) ?? [];
  const sizes = shape.filter((size) => size !== 1);
  const [classes] = sizes;
  if (task !== 'classify' || labels === 0 || sizes.length !== 1 || typeof classes !== 'number') return undefined;
  if (labels === classes || (output.background === 0 && labels === classes - 1)) return undefined;
  return `${name} has ${classes} classes and ${labels} labels: a prediction may have the label of another class`;
}
