import { choosePlan } from '../../central/planner/default-plan.ts';
import type { LoadRequest } from '../../central/served-model.ts';
import { decodeTask } from '../../central/tasks/task.ts';
import { decodeFrame } from '../../shared/runtime/image.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import type { FrameFile } from '../frame-files.ts';
import type { Answer } from '../frames.ts';
import { loadInProcess, openPlan } from '../in-process.ts';

/** What was computed for one picture: the network's outputs by their names in the user's file, and what they say. */
export interface Computed {
  readonly outputs: ReadonlyMap<string, Tensor>;
  /** The best class, also where its score is too low to be `top`. */
  readonly first: string | undefined;
  readonly latency_ms: number;
}

/** What a cluster answered, in the form of a reference. */
export function computedOf({ result, tensors }: Answer): Computed {
  const outputs = (tensors?.outputs ?? []).map(({ tensor, dtype, shape, d }): [string, Tensor] => [
    tensor,
    { dtype, shape, data: d },
  ]);
  return { outputs: new Map(outputs), first: result.predictions[0]?.label, latency_ms: result.latency_ms };
}

/**
 * The reference of a retrained network: the form for which it was retrained, its tiles alone with clipped results, in
 * this process. Calls `progress` after each picture.
 */
export async function trainedReference(
  request: LoadRequest,
  pictures: readonly FrameFile[],
  threads: number,
  progress: (done: number) => void,
): Promise<Computed[]> {
  const served = await loadInProcess(request);
  const { card, labels, input, outputs, names } = served;
  const [, height, width] = input.shape;
  const { color, resize, crop } = card.input;
  const compiled = choosePlan(served, { nodeCount: 1, padding: 'zero', exits: false });
  const plan = await openPlan(compiled, served, threads);
  const all: Computed[] = [];
  progress(0);
  try {
    for (const picture of pictures) {
      const size = { width: width!, height: height!, color, resize, crop };
      const frame = await decodeFrame(await picture.read(), size);
      const began = performance.now();
      const { tensors } = await plan.run({ dtype: input.dtype, shape: input.shape, data: frame.data });
      const latency_ms = performance.now() - began;
      const made = new Map(outputs.map((name) => [name, tensors.get(name)!]));
      const { predictions } = decodeTask(made, card, labels, frame);
      all.push({
        outputs: new Map([...made].map(([name, tensor]) => [names.original(name), tensor])),
        first: predictions[0]?.label,
        latency_ms,
      });
      progress(all.length);
    }
  } finally {
    await plan.release();
  }
  return all;
}
