import { rm } from 'node:fs/promises';
import { type LoadRequest, loadServedModel, type ServedModel } from '../central/served-model.ts';
import { confidence } from '../central/tasks/classify.ts';
import { findCodec } from '../shared/codec/codecs.ts';
import type { Model } from '../shared/onnx/model.ts';
import { writeModel } from '../shared/onnx/write.ts';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import { openBlobStore } from '../shared/runtime/blob-store.ts';
import { makeTemporaryFolder } from '../shared/runtime/folder.ts';
import { loadSession, type Session } from '../shared/runtime/ort.ts';
import { openSigningKey } from '../shared/runtime/signature.ts';
import { boxShape, crop, paste, type Tensor } from '../shared/tensor/tensor.ts';
import { runStage } from '../shared/tiling/reference.ts';
import { buildStage } from '../shared/tiling/stage.ts';

/** Loads a model with its weights in memory, where no central keeps them. Throws what `loadServedModel` throws. */
export async function loadInProcess(request: LoadRequest): Promise<ServedModel> {
  const folder = await makeTemporaryFolder('tessera-model-');
  try {
    return await loadServedModel(request, await openBlobStore(folder), await openSigningKey(folder));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What a plan computes for one frame. */
export interface ComputedFrame {
  /** All computed tensors of stages; those after an exit that was taken are missing. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Index in `exits` of model.yaml of the exit that was taken; null: none. */
  readonly exit: number | null;
  /** Bytes of tiles' outputs, encoded by the plan's codecs and as they are in memory; without messages. */
  readonly sent: number;
  readonly raw: number;
}

/** A plan that runs in this process. */
export interface PlanInProcess {
  /** `picture` has the type and shape of the model's input. */
  run(picture: Tensor): Promise<ComputedFrame>;
  release(): Promise<void>;
}

/**
 * Computes in this process exactly what a cluster computes with a plan: the stages that nodes build from it, every
 * result of a tile through its codec. Only the nodes and the wire are missing.
 */
export async function openPlan(
  { plan, stages, specs }: CompiledPlan,
  { card, resolved, input }: Pick<ServedModel, 'card' | 'resolved' | 'input'>,
  threads: number,
): Promise<PlanInProcess> {
  const forms = plan.stages.map((stage) => buildStage(resolved, stage));
  const sessions = new Map<Model, Session>();
  for (const { model } of forms.flatMap(({ parts }) => parts))
    if (!sessions.has(model)) sessions.set(model, await loadSession(writeModel(model), { threads }));
  const runModel = (model: Model, feeds: ReadonlyMap<string, Tensor>) => sessions.get(model)!.run(feeds);
  return {
    async run(picture) {
      const tensors = new Map<string, Tensor>([[input.name, picture]]);
      let [sent, raw] = [0, 0];
      for (const [index, form] of forms.entries()) {
        const made = await runStage(form, tensors, specs, runModel);
        if (form.parts.length > 1)
          for (const { out } of stages[index]!.parts)
            for (const { tensor, box, codec } of out) {
              const whole = made.get(tensor)!;
              const region = { dtype: whole.dtype, shape: boxShape(box), data: crop(whole, box) };
              const bytes = findCodec(codec.name)!.encode(region.data, region, codec);
              paste(whole, box, findCodec(codec.name)!.decode(bytes, region, codec));
              sent += bytes.length;
              raw += region.data.length;
            }
        for (const [name, tensor] of made) tensors.set(name, tensor);
        const { exit } = plan.stages[index]!;
        if (exit !== undefined && confidence(tensors.get(exit.tensor)!, card.output.decoder) >= exit.threshold)
          return { tensors, exit: card.exits.findIndex(({ tensor }) => tensor === exit.tensor), sent, raw };
      }
      return { tensors, exit: null, sent, raw };
    },
    release: async () => {
      for (const session of sessions.values()) await session.release();
    },
  };
}
