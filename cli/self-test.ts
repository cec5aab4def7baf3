import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { loadServedModel, type ServedModel } from '../central/served-model.ts';
import { decodeTask } from '../central/tasks/task.ts';
import { sceneClasses } from '../shared/camera/scenes/objects.ts';
import { drawScene, type Scene, seedRanges } from '../shared/camera/scenes/scene.ts';
import { configSchema } from '../shared/config/schema.ts';
import { TesseraError } from '../shared/errors.ts';
import { IDENTITY_MAPPING } from '../shared/model/picture-placement.ts';
import { createExecutor } from '../shared/node/executor.ts';
import type { Executor, Job, PartOutcome } from '../shared/node/executor-types.ts';
import { wireBox } from '../shared/node/tensor-store.ts';
import { CENTRAL, type Plan } from '../shared/plan/plan.ts';
import { planId } from '../shared/plan/plan-id.ts';
import { silentLog } from '../shared/ports.ts';
import { openBlobStore } from '../shared/runtime/blob-store.ts';
import { makeTemporaryFolder } from '../shared/runtime/folder.ts';
import { runtimeVersion } from '../shared/runtime/ort.ts';
import { openSigningKey } from '../shared/runtime/signature.ts';
import { packageFolder, packageVersion } from '../shared/runtime/version.ts';
import { wholeBox } from '../shared/tensor/tensor.ts';
import { loadRequestFor } from './models.ts';

/** What the self-test found; the platform as `linux-arm64`. */
export interface SelfTest {
  readonly version: string;
  readonly node: string;
  readonly runtime: string;
  readonly platform: string;
  /** Drawn scenes that the bundled network named right, of so many. */
  readonly right: number;
  readonly of: number;
  readonly took_ms: number;
}

/** Wrong answers that the network itself may give: it names 0.02 % of the scenes wrong. */
const MOST_WRONG = 1;
const NODE = 'self-test';
/** Large enough for the network, and drawn within seconds by a slow machine; pixels. */
const SIZE = { width: 320, height: 240 } as const;
/** From a multiple of the number of classes on, each class is drawn once. */
const FIRST_SCENE = Math.ceil(seedRanges.heldOut.from / sceneClasses.length) * sceneClasses.length;

/**
 * Runs the bundled network in an executor, as an agent does, on one drawn scene of each class; the answers are compared
 * with what was drawn. Needs no broker, no picture decoder and no state. Throws TESSERA_RUN_FAILED for wrong answers.
 */
export async function selfTest(): Promise<SelfTest> {
  const began = performance.now();
  const scratch = await makeTemporaryFolder('tessera-self-test-');
  try {
    const folder = join(scratch, 'blobs');
    const { request } = await loadRequestFor(
      join(packageFolder(), 'config', 'models', 'scenes'),
      configSchema.parse({}),
    );
    const model = await loadServedModel(request, await openBlobStore(folder), await openSigningKey(scratch));
    const executor = await createExecutor({ node: NODE, folder, threads: 1, sessionMemoryMb: 256, log: silentLog });
    try {
      const plan = wholePlan(model);
      await executor.prepare(plan, [0], model.manifest.skeleton.sha);
      let right = 0;
      for (let k = 0; k < sceneClasses.length; k++) right += (await isNamed(k, plan, model, executor)) ? 1 : 0;
      if (right < sceneClasses.length - MOST_WRONG)
        throw new TesseraError(
          'TESSERA_RUN_FAILED',
          `only ${right} of ${sceneClasses.length} scenes were named right`,
          {
            hint: '`tessera doctor --local` examines the runtime of this machine',
          },
        );
      return {
        version: packageVersion(),
        node: process.version,
        runtime: runtimeVersion,
        platform: `${process.platform}-${process.arch}`,
        right,
        of: sceneClasses.length,
        took_ms: Math.round(performance.now() - began),
      };
    } finally {
      await executor.stop();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The network as one stage. */
function wholePlan({ input, outputs, manifest }: ServedModel): Plan {
  const stage = {
    id: 0,
    inputs: [input.name],
    outputs: [...outputs],
    split: { kind: 'whole' },
    on: { mode: 'share', nodes: '*' },
    fallback: CENTRAL,
    codec: {},
  } as const;
  const made = { model: manifest.skeleton.sha, source: CENTRAL, stages: [stage] };
  const about = { strategy: NODE, reason: NODE, predicted: null };
  return { format: 'tessera-plan/1', id: planId(made), ...made, ...about };
}

/** Whether the network names what the k-th held-out scene shows. */
async function isNamed(k: number, plan: Plan, model: ServedModel, executor: Executor): Promise<boolean> {
  const [, height, width] = model.input.shape;
  const scene = drawScene(FIRST_SCENE + k, SIZE);
  const parts: PartOutcome[] = [];
  await executor.run(jobOf(k, shrunk(scene, width!, height!), plan, model), (part) => parts.push(part));
  const [part] = parts;
  if (part === undefined || 'error' in part)
    throw new TesseraError('TESSERA_RUN_FAILED', `the bundled network does not run: ${part?.error.text}`);
  const tensors = new Map(part.out.map(({ tensor, dtype, shape, d }) => [tensor, { dtype, shape, data: d }]));
  const frame = { sourceWidth: width!, sourceHeight: height!, mapping: IDENTITY_MAPPING };
  // Its best guess counts, however unsure it is.
  const card = { ...model.card, output: { ...model.card.output, score_threshold: 0 } };
  return decodeTask(tensors, card, model.labels, frame).top?.label === scene.label;
}

/** The picture as the network's input, [rows, columns, 3]: pixels averaged, without a decoder of pictures. */
function shrunk({ rgb, width, height }: Scene, columns: number, rows: number): Uint8Array {
  const edge = (at: number, size: number, count: number): number => Math.floor((at * size) / count);
  return Uint8Array.from({ length: rows * columns * 3 }, (_, at) => {
    const [row, column, channel] = [Math.floor(at / 3 / columns), Math.floor(at / 3) % columns, at % 3];
    const [top, bottom] = [edge(row, height, rows), edge(row + 1, height, rows)];
    const [left, right] = [edge(column, width, columns), edge(column + 1, width, columns)];
    let sum = 0;
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) sum += rgb[(y * width + x) * 3 + channel]!;
    return Math.round(sum / ((bottom - top) * (right - left)));
  });
}

function jobOf(k: number, d: Uint8Array, plan: Plan, { input, resolved, outputs }: ServedModel): Job {
  const codec = { name: 'raw' } as const;
  const { name: tensor, dtype, shape } = input;
  const region = { tensor, box: wireBox(wholeBox(shape)), dtype, shape: [...shape], codec, d };
  return {
    plan: plan.id,
    i_id: `1-${k}`,
    stage: 0,
    batchBytes: 1,
    tiles: [
      {
        t_id: 0,
        in: [region],
        out: outputs.map((output) => ({ tensor: output, box: wholeBox(resolved.specs.get(output)!.shape), codec })),
      },
    ],
  };
}
