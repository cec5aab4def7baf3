import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { choosePlan, type PlanRequest } from '../../central/planner/default-plan.ts';
import { loadServedModel } from '../../central/served-model.ts';
import { confidence } from '../../central/tasks/classify.ts';
import { loadModel } from '../../cli/library/library.ts';
import { findCodec } from '../../shared/codec/codecs.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import type { Model } from '../../shared/onnx/model.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { loadSession, type Session } from '../../shared/runtime/ort.ts';
import { loadModelFile } from '../../shared/runtime/package.ts';
import { openSigningKey } from '../../shared/runtime/signature.ts';
import { boxShape, crop, paste, type Tensor } from '../../shared/tensor/tensor.ts';
import { runStage } from '../../shared/tiling/reference.ts';
import { buildStage } from '../../shared/tiling/stage.ts';

/** The answer for one picture. */
export interface Deployed {
  /** All computed outputs; those after an exit that was taken are missing. */
  readonly outputs: ReadonlyMap<string, Tensor>;
  /** Index in `exits` of model.yaml of the exit that was taken; null: none. */
  readonly exit: number | null;
  /** Bytes of tiles' outputs, encoded by the plan's codecs and as float32; without messages. */
  readonly sent: number;
  readonly raw: number;
}

/** A model with the plan that central would choose for it. */
export interface DeployedNetwork {
  readonly card: ModelCard;
  readonly labels: readonly string[];
  readonly plan: string;
  /** Height and width of the network's input. */
  readonly size: readonly [height: number, width: number];
  /** `pixels`: rows of R, G, B bytes, already at the network's size. */
  ask(pixels: Uint8Array): Promise<Deployed>;
  release(): Promise<void>;
}

/** Planes [3, h, w] of bytes as rows of pixels [h, w, 3]. */
export function interleaved(planes: Uint8Array): Uint8Array {
  const area = planes.length / 3;
  return Uint8Array.from(planes, (_, at) => planes[(at % 3) * area + Math.floor(at / 3)]!);
}

/**
 * Loads a model folder and computes in this process exactly what a cluster computes: the plan that central chooses, the
 * stages that nodes build from it, every result through its codec. Only the nodes and the wire are missing.
 */
export async function loadDeployed(folder: string, request: Partial<PlanRequest> = {}): Promise<DeployedNetwork> {
  const loaded = await loadModel(folder, { modelsDirs: [] });
  const { card, labels } = loaded;
  const scratch = await mkdtemp(join(tmpdir(), 'tessera-deployed-'));
  try {
    const model = await loadModelFile(loaded.modelPath);
    const store = await openBlobStore(join(scratch, 'blobs'));
    const wanted = { name: card.name, card, labels, model, picture: true };
    const served = await loadServedModel(wanted, store, await openSigningKey(scratch));
    const compiled = choosePlan(served, { nodeCount: 4, ...request });
    const forms = compiled.plan.stages.map((stage) => buildStage(served.resolved, stage));
    const sessions = new Map<Model, Session>();
    for (const piece of forms.flatMap(({ parts }) => parts.map(({ model }) => model)))
      if (!sessions.has(piece)) sessions.set(piece, await loadSession(writeModel(piece), { threads: 1 }));
    const { input } = served;
    const run = (piece: Model, feeds: ReadonlyMap<string, Tensor>) => sessions.get(piece)!.run(feeds);
    return {
      card,
      labels,
      plan: compiled.plan.reason,
      size: [input.shape[1]!, input.shape[2]!],
      async ask(pixels) {
        const tensors = new Map<string, Tensor>([
          [input.name, { dtype: input.dtype, shape: input.shape, data: pixels }],
        ]);
        let [sent, raw] = [0, 0];
        for (const [index, form] of forms.entries()) {
          const made = await runStage(form, tensors, compiled.specs, run);
          if (form.parts.length > 1)
            for (const { out } of compiled.stages[index]!.parts)
              for (const { tensor, box, codec } of out) {
                const whole = made.get(tensor)!;
                const region = { dtype: whole.dtype, shape: boxShape(box), data: crop(whole, box) };
                const bytes = findCodec(codec.name)!.encode(region.data, region, codec);
                paste(whole, box, findCodec(codec.name)!.decode(bytes, region, codec));
                sent += bytes.length;
                raw += region.data.length;
              }
          for (const [name, tensor] of made) tensors.set(name, tensor);
          const { exit } = compiled.plan.stages[index]!;
          if (exit !== undefined && confidence(tensors.get(exit.tensor)!, card.output.decoder) >= exit.threshold)
            return { outputs: tensors, exit: card.exits.findIndex(({ tensor }) => tensor === exit.tensor), sent, raw };
        }
        return { outputs: tensors, exit: null, sent, raw };
      },
      release: async () => {
        for (const session of sessions.values()) await session.release();
      },
    };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Index of the first largest value of a float32 tensor. */
export function largestIndex({ data }: Tensor): number {
  const values = new Float32Array(data.slice().buffer);
  return values.indexOf(Math.max(...values));
}
