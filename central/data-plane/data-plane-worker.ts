import { parentPort } from 'node:worker_threads';
import { failureOf, TesseraError } from '../../shared/errors.ts';
import { type FrameMapping, placePicture, type Size } from '../../shared/model/picture-placement.ts';
import { sectionsOf } from '../../shared/model/sections.ts';
import { decodeInput } from '../../shared/node/frame-input.ts';
import { type PackedPart, type PackedWay, TensorStore } from '../../shared/node/tensor-store.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import { inlineRegions, type WireRegion } from '../../shared/protocol/messages/region.ts';
import { answerCalls, buffersOf, type Moved } from '../../shared/runtime/worker-call.ts';
import { type Tensor, wholeBox } from '../../shared/tensor/tensor.ts';
import { confidence } from '../tasks/classify.ts';
import { decodeTask } from '../tasks/task.ts';
import type { FrameAnswer, FrameToDecode, ModelEntry, Opened, Pasted } from './data-plane.ts';
import { partsAgree } from './parts-agree.ts';

/**
 * The thread that touches bytes: decodes pictures, cuts tiles, pastes results, reads the network's answer. Central's
 * main thread only moves handles and envelopes.
 */

const store = new TensorStore();
const models = new Map<string, Omit<ModelEntry, 'name'>>();
const plans = new Map<string, CompiledPlan>();
const views = new Map<
  string,
  { model: string; plan: string; mapping: FrameMapping | null; width: number; height: number }
>();

/** Frames that are being decoded and were not released meanwhile. */
const decoding = new Set<string>();

function compiledPlan(plan: string): CompiledPlan {
  const compiled = plans.get(plan);
  if (compiled === undefined) throw new TesseraError('TESSERA_INTERNAL', `the data plane does not know plan ${plan}`);
  return compiled;
}

async function openFrame({ i_id, model, plan, frame, section }: FrameToDecode): Promise<Opened> {
  const entry = models.get(model);
  if (entry === undefined) throw new TesseraError('TESSERA_MODEL_UNKNOWN', `no model "${model}"`);
  const { input, picture } = entry;
  if (!('d' in frame)) {
    if (picture === undefined) throw new TesseraError('TESSERA_INPUT_INVALID', `model "${model}" takes no pictures`);
    store.open(i_id, new Map());
    views.set(i_id, { model, plan, mapping: placePicture(frame, picture).mapping, ...frame });
    return frame;
  }
  decoding.add(i_id);
  const sectionOf =
    section === undefined ? undefined : (picture: Size) => sectionsOf(section.layout, picture)[section.number]!;
  const { data, source } = await decodeInput(frame, { model, input, picture }, sectionOf);
  if (!decoding.delete(i_id)) throw new TesseraError('TESSERA_INTERNAL', `frame ${i_id} has ended`);
  const tensor = { dtype: input.dtype, shape: input.shape, data };
  // It was open elsewhere until now.
  if (views.has(i_id)) store.add(i_id, input.name, tensor);
  else store.open(i_id, new Map([[input.name, tensor]]));
  const { mapping } = source ?? { mapping: null };
  const { width, height } = source === null ? { width: 0, height: 0 } : (sectionOf?.(source) ?? source);
  views.set(i_id, { model, plan, mapping, width, height });
  return { width: source?.width ?? null, height: source?.height ?? null };
}

interface Paste {
  readonly i_id: string;
  readonly plan: string;
  readonly stage: number;
  readonly t_id: number;
  readonly tensors: readonly string[];
  readonly out: readonly WireRegion[];
}

function pasteTile({ i_id, plan, stage, t_id, tensors, out }: Paste): Pasted {
  const compiled = compiledPlan(plan);
  try {
    store.paste(i_id, compiled, stage, t_id, out, tensors);
  } catch (error) {
    return { failure: failureOf(error, 'TESSERA_MESSAGE_INVALID'), exit: false };
  }
  // A stage with an exit is whole: its one tile is all of it.
  const { exit } = compiled.plan.stages[stage]!;
  const view = views.get(i_id);
  if (exit === undefined || view === undefined || !tensors.includes(exit.tensor)) return { failure: null, exit: false };
  const { decoder } = models.get(view.model)!.card.output;
  return { failure: null, exit: confidence(store.tensor(i_id, exit.tensor, compiled)!, decoder) >= exit.threshold };
}

interface Pair extends Omit<Paste, 'i_id' | 'tensors' | 'out'> {
  readonly first: readonly WireRegion[];
  readonly second: readonly WireRegion[];
  readonly moved?: readonly WireRegion[] | undefined;
}

interface Finish {
  readonly i_id: string;
  readonly tensors: boolean;
  readonly exit: string | null;
}

function finish({ i_id, tensors, exit }: Finish): Moved<FrameAnswer> {
  const view = views.get(i_id);
  if (view === undefined) throw new TesseraError('TESSERA_INTERNAL', `frame ${i_id} has ended`);
  const entry = models.get(view.model)!;
  const compiled = compiledPlan(view.plan);
  const outputs = new Map<string, Tensor>();
  const names = exit === null ? entry.outputs : [exit];
  const named = (name: string): string => entry.names.get(name) ?? name;
  for (const name of names) outputs.set(named(name), store.tensor(i_id, name, compiled)!);
  // An exit stands for the outputs, whatever these are called.
  const { card } = entry;
  const read = exit === null ? card : { ...card, output: { ...card.output, tensors: [named(exit)] } };
  const { top, predictions } = decodeTask(outputs, read, entry.labels, {
    sourceWidth: view.width,
    sourceHeight: view.height,
    mapping: view.mapping,
  });
  const regions: WireRegion[] = [];
  if (tensors)
    for (const [tensor, { dtype, shape, data }] of outputs) {
      const box = wholeBox(shape).map(([start, end]): [number, number] => [start, end]);
      regions.push({ tensor, box, dtype, shape: [...shape], codec: { name: 'raw' }, d: data.slice() });
    }
  return { value: { top, predictions, regions }, transfer: buffersOf(regions.map((region) => region.d)) };
}

/** The tensor that a frame arrives as. */
function frameTensor(iId: string): string | undefined {
  const model = views.get(iId)?.model;
  return model === undefined ? undefined : models.get(model)!.input.name;
}

answerCalls(parentPort!, {
  model: ({ name, ...entry }: ModelEntry) => {
    models.set(name, entry);
  },
  plan: (compiled: CompiledPlan) => {
    plans.set(compiled.plan.id, compiled);
  },
  forgetPlan: (id: string) => {
    plans.delete(id);
  },
  open: openFrame,
  pack: (asked: { i_id: string; plan: string; stage: number; tIds: number[]; own: boolean; hasFrame: boolean }) => {
    const { i_id, plan, stage, tIds, own, hasFrame } = asked;
    const without = hasFrame ? frameTensor(i_id) : undefined;
    const tiles: PackedPart[] | undefined = store.pack(i_id, compiledPlan(plan), stage, tIds, own, without);
    return { value: tiles, transfer: buffersOf((tiles ?? []).flatMap((tile) => tile.in.map((region) => region.d))) };
  },
  packWays: (asked: { i_id: string; plan: string; stage: number; ways: PackedWay[]; hasFrame: boolean }) => {
    const { i_id, plan, stage, ways, hasFrame } = asked;
    const without = hasFrame ? frameTensor(i_id) : undefined;
    const tiles = ways.flatMap((way) => store.packWay(i_id, compiledPlan(plan), stage, way, without) ?? []);
    const packed = tiles.flatMap((tile) => inlineRegions(tile.in));
    return { value: tiles, transfer: buffersOf(packed.map((region) => region.d)) };
  },
  paste: pasteTile,
  clear: ({ i_id, plan, stage, tIds }: { i_id: string; plan: string; stage: number; tIds: readonly number[] }) => {
    store.clear(i_id, compiledPlan(plan), stage, tIds);
  },
  agree: ({ plan, stage, t_id, first, second, moved }: Pair) =>
    partsAgree(compiledPlan(plan), stage, t_id, first, second, moved),
  finish,
  release: (iId: string) => {
    store.release(iId);
    views.delete(iId);
    decoding.delete(iId);
  },
});
