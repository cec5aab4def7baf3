import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type ModelCard, normalisation, parseCard } from '../shared/model/card.ts';
import { parseLabels } from '../shared/model/labels.ts';
import { loadSession } from '../shared/runtime/ort.ts';
import { parseYaml } from '../shared/runtime/yaml.ts';
import { drawScene, seedRanges } from '../shared/scene/scene.ts';
import { asNetworkSees, sceneInput } from './scene-pictures.ts';

/** The question, for the list of benchmarks. */
export const description = 'how often the bundled model is right about scenes held out from its training';

/** How well the bundled model knows scenes that it was not trained on. */
export interface SceneAccuracy {
  readonly pass: boolean;
  readonly accuracy: number;
  readonly scenes: number;
  readonly first_seed: number;
  /** `confusion[drawn][answered]`, in the order of `labels`. */
  readonly confusion: readonly (readonly number[])[];
  readonly labels: readonly string[];
}

/** The least accuracy that the bundled model promises. */
const promised = 0.97;

/** (pixel / scale - mean) / std, plane by plane, as bytes of a float32 tensor. */
function normalised(planes: Uint8Array, card: ModelCard): Uint8Array {
  const { scale, mean, std } = normalisation(card.input);
  const area = planes.length / mean.length;
  const values = Float32Array.from(planes, (pixel, at) => {
    const channel = Math.floor(at / area);
    return (pixel / scale - mean[channel]!) / std[channel]!;
  });
  return new Uint8Array(values.buffer);
}

function printTable({ labels, confusion, accuracy, scenes }: SceneAccuracy): void {
  for (const [drawn, row] of confusion.entries()) {
    const total = row.reduce((sum, count) => sum + count, 0);
    const wrong = row
      .map((count, answered) => ({ count, answered }))
      .filter(({ count, answered }) => count > 0 && answered !== drawn)
      .map(({ count, answered }) => `${count} ${labels[answered]}`);
    console.log(`${labels[drawn]!.padEnd(14)}${String(row[drawn]).padStart(5)} of ${total}   ${wrong.join(', ')}`);
  }
  console.log(`accuracy ${(100 * accuracy).toFixed(2)} % on ${scenes} held-out scenes`);
}

/**
 * How often is the bundled model right about scenes held out from its training? Draws them at the camera's size, takes
 * them through JPEG as every frame, and runs the ONNX file whole in this process.
 * Options: `--count N`, `--seed S` (the first seed), `--model DIR`.
 */
export async function run(args: string[]): Promise<SceneAccuracy> {
  const { values } = parseArgs({
    args,
    options: {
      count: { type: 'string', default: '1000' },
      seed: { type: 'string', default: String(seedRanges.heldOut.from) },
      model: { type: 'string', default: 'config/models/scenes' },
    },
  });
  const folder = values.model;
  const cardFile = join(folder, 'model.yaml');
  const card = parseCard(parseYaml(await readFile(cardFile, 'utf8'), cardFile, 'TESSERA_MODEL_CARD'), cardFile);
  const labels =
    typeof card.labels === 'string'
      ? parseLabels(await readFile(join(folder, card.labels), 'utf8'))
      : (card.labels ?? []);
  const session = await loadSession(join(folder, card.model), { threads: 1 });
  const shape = card.input.shape ?? [1, 3, 128, 128];
  const input = sceneInput(shape[3]!);

  const count = Number(values.count);
  const first = Number(values.seed);
  const confusion = labels.map(() => labels.map(() => 0));
  let right = 0;
  for (let seed = first; seed < first + count; seed++) {
    const scene = drawScene(seed);
    const data = normalised(await asNetworkSees(scene, seed, input), card);
    const outputs = await session.run(new Map([[session.inputs[0]!.name, { dtype: 'float32', shape, data }]]));
    const answer = outputs.get(session.outputs[0]!.name)!.data;
    const logits = new Float32Array(answer.buffer, answer.byteOffset, labels.length);
    const answered = logits.indexOf(Math.max(...logits));
    confusion[scene.classIndex]![answered]!++;
    if (answered === scene.classIndex) right++;
  }
  await session.release();
  const accuracy = right / count;
  const result = { pass: accuracy >= promised, accuracy, scenes: count, first_seed: first, confusion, labels };
  printTable(result);
  return result;
}
