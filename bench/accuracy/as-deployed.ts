import { choosePlan, type PlanRequest } from '../../central/planner/default-plan.ts';
import { type ComputedFrame, loadInProcess, openPlan } from '../../cli/in-process.ts';
import { loadModel } from '../../cli/library/library.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import { loadModelFile } from '../../shared/runtime/package.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';

/** A model with the plan that central would choose for it. */
export interface DeployedNetwork {
  readonly card: ModelCard;
  readonly labels: readonly string[];
  readonly plan: string;
  /** Height and width of the network's input. */
  readonly size: readonly [height: number, width: number];
  /** `pixels`: rows of R, G, B bytes, already at the network's size. */
  ask(pixels: Uint8Array): Promise<ComputedFrame>;
  release(): Promise<void>;
}

/** Planes [3, h, w] of bytes as rows of pixels [h, w, 3]. */
export function interleaved(planes: Uint8Array): Uint8Array {
  const area = planes.length / 3;
  return Uint8Array.from(planes, (_, at) => planes[(at % 3) * area + Math.floor(at / 3)]!);
}

/** Loads a model folder, and computes in this process what a cluster computes with the plan that central chooses. */
export async function loadDeployed(folder: string, request: Partial<PlanRequest> = {}): Promise<DeployedNetwork> {
  const loaded = await loadModel(folder, { modelsDirs: [] });
  const { card, labels } = loaded;
  const model = await loadModelFile(loaded.modelPath);
  const served = await loadInProcess({ name: card.name, card, labels, model, picture: true });
  const compiled = choosePlan(served, { nodeCount: 4, ...request });
  const inProcess = await openPlan(compiled, served, 1);
  const { input } = served;
  return {
    card,
    labels,
    plan: compiled.plan.reason,
    size: [input.shape[1]!, input.shape[2]!],
    ask: (pixels) => inProcess.run({ dtype: input.dtype, shape: input.shape, data: pixels }),
    release: () => inProcess.release(),
  };
}

/** Index of the first largest value of a float32 tensor. */
export function largestIndex({ data }: Tensor): number {
  const values = new Float32Array(data.slice().buffer);
  return values.indexOf(Math.max(...values));
}
