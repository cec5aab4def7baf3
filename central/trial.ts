import { join } from 'node:path';
import { TesseraError } from '../shared/errors.ts';
import type { BlobStore, Log } from '../shared/ports.ts';
import type { SigningKey } from '../shared/runtime/signature.ts';
import type { MadeOutput, TrialEnd, TrialRefusal, Trials } from '../shared/runtime/trial.ts';
import { byteLength } from '../shared/tensor/tensor.ts';
import { type LoadRequest, loadServedModel, type ServedModel } from './served-model.ts';
import { decodeTask } from './tasks/task.ts';

/** What a trial needs. */
export interface TrialParts {
  readonly store: BlobStore;
  readonly key: SigningKey;
  readonly threads: number;
  readonly log: Log;
  /** Runs the network in a child process. Throws the reason of its abort signal. */
  readonly trials: Trials;
}

/** Outcome of a trial; `untried` where this machine could not run it, which says nothing about the network. */
export type Trial =
  | { readonly kind: 'ran'; readonly outputs: readonly MadeOutput[] }
  | ({ readonly kind: 'refused' } & TrialRefusal)
  | { readonly kind: 'untried'; readonly reason: string };

/**
 * Loads a model and has the runtime of this machine run it once. Where the runtime's outputs have other shapes than the
 * inferred ones, or the runtime refuses the prepared network, the model is loaded as opaque: it runs whole, as the file has
 * it. Throws TESSERA_MODEL_UNSUPPORTED where the runtime refuses that too, TESSERA_MODEL_CARD where the card's decoder cannot
 * read the outputs of a detector, and what `loadServedModel` throws.
 */
export async function loadAfterTrial(request: LoadRequest, parts: TrialParts): Promise<ServedModel> {
  const served = await loadServedModel(request, parts.store, parts.key);
  const trial = await tried(served, parts);
  if (trial.kind === 'untried') {
    parts.log.warn(`model ${request.name} could not be tried on this machine: ${trial.reason}`);
    return served;
  }
  const difference = trial.kind === 'ran' ? unlike(served, trial.outputs) : undefined;
  if (trial.kind === 'ran' && difference === undefined) return readable(served, trial.outputs);
  if (served.doubt !== undefined || request.opaque === true) throw refusalOf(request.name, served, trial);
  const whole = await loadServedModel({ ...request, opaque: true }, parts.store, parts.key).catch(() => undefined);
  const second = whole === undefined ? undefined : await tried(whole, parts);
  if (whole === undefined || second?.kind !== 'ran') throw refusalOf(request.name, served, trial);
  const why = difference ?? (trial.kind === 'refused' ? trial.failure.message : '');
  parts.log.warn(`model ${request.name} runs whole: Tessera does not understand it (${why})`);
  return readable(whole, second.outputs);
}

/**
 * The model, where its decoder reads outputs of these shapes; they hold zeros, in which no detector finds anything. Numbers
 * of boxes that depend on the picture may be 0 here, and say nothing.
 */
function readable(served: ServedModel, made: readonly MadeOutput[]): ServedModel {
  const { card, labels, outputs } = served;
  if (card.task !== 'detect' || made.some(({ shape }) => shape.includes(0))) return served;
  const zeros = made
    .filter(({ name }) => outputs.includes(name))
    .map(({ name, ...spec }) => [name, { ...spec, data: new Uint8Array(byteLength(spec)) }] as const);
  decodeTask(new Map(zeros), card, labels, { sourceWidth: 1, sourceHeight: 1, mapping: null });
  return served;
}

async function tried({ manifest }: ServedModel, { store, threads, trials, log }: TrialParts): Promise<Trial> {
  const model = join(store.folder, manifest.skeleton.sha);
  const trial = trialOf(await trials.run([{ model, dataFolder: store.folder, threads }]));
  if (trial.kind === 'refused' && trial.detail !== undefined)
    log.debug(`the runtime says of model ${manifest.name}: ${trial.detail}`);
  return trial;
}

/** What the end of a process says about the network that it ran. */
export function trialOf(end: TrialEnd): Trial {
  if (end.kind === 'ended') return { kind: 'untried', reason: end.reason };
  if (end.kind === 'late')
    return refused(
      `it did not end its first run within ${end.seconds} s`,
      'a network that never ends cannot be served; try a smaller input shape',
    );
  if (end.kind === 'crashed')
    return refused(`the runtime crashed when it ran it (${end.by})`, 'export it again, or for another operator set');
  const [answer] = end.answers;
  if (answer !== undefined && 'made' in answer) return { kind: 'ran', outputs: answer.made };
  if (answer !== undefined && 'failure' in answer) return { kind: 'refused', ...answer };
  return { kind: 'untried', reason: 'the trial gave no answer' };
}

function refused(message: string, hint: string): Trial {
  return { kind: 'refused', failure: { code: 'TESSERA_RUN_FAILED', message, hint }, detail: undefined };
}

/** The first output whose type differs from the inferred one, in words. */
function unlike({ resolved, names }: ServedModel, made: readonly MadeOutput[]): string | undefined {
  for (const { name, dtype, shape } of made) {
    const spec = resolved.specs.get(name);
    if (spec === undefined || (spec.dtype === dtype && `${spec.shape}` === `${shape}`)) continue;
    const label = names.original(name).slice(0, 80);
    return `"${label}" should be ${spec.dtype} [${spec.shape}], and ONNX Runtime makes ${dtype} [${shape}]`;
  }
  return undefined;
}

/** The fault in the network's own terms, if known; otherwise the runtime's message. */
function refusalOf(name: string, { doubt }: ServedModel, trial: Trial): TesseraError {
  if (doubt !== undefined) return doubt;
  const { message, hint } =
    trial.kind === 'refused' ? trial.failure : { message: 'its outputs are not what they should be', hint: undefined };
  const said = message.replace(/^ONNX Runtime (?:failed|cannot load the model): /, '');
  return new TesseraError('TESSERA_MODEL_UNSUPPORTED', `model "${name}" cannot run: ${said}`, {
    hint: hint ?? 'ONNX Runtime itself refuses the network: export it again, or ask who made it',
    cause: trial.kind === 'refused' ? trial.detail : undefined,
  });
}
