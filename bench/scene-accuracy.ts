import { BASELINES } from '../central/planner/strategies.ts';
import { flag, integer, string, type Values, valueOr } from '../cli/options.ts';
import { drawScene, seedRanges } from '../shared/camera/scenes/scene.ts';
import { interleaved, largestIndex, loadDeployed } from './accuracy/as-deployed.ts';
import { defineBenchmark } from './harness/benchmark.ts';
import { asNetworkSees, sceneInput } from './harness/scene-pictures.ts';

/** The accuracy of the bundled model on scenes that are not in its training set. */
export interface SceneAccuracy {
  readonly pass: boolean;
  readonly accuracy: number;
  readonly scenes: number;
  readonly first_seed: number;
  /** What tiles send for a scene, mean: bytes after and before their codecs. */
  readonly bytes: { readonly sent: number; readonly raw: number };
  /** `confusion[drawn][answered]`, in the order of `labels`. */
  readonly confusion: readonly (readonly number[])[];
  readonly labels: readonly string[];
}

/** The least accuracy that the bundled model promises. */
const promised = 0.97;

function printTable({ labels, confusion, accuracy, scenes, bytes }: SceneAccuracy): void {
  for (const [drawn, row] of confusion.entries()) {
    const total = row.reduce((sum, count) => sum + count, 0);
    const wrong = row
      .map((count, answered) => ({ count, answered }))
      .filter(({ count, answered }) => count > 0 && answered !== drawn)
      .map(({ count, answered }) => `${count} ${labels[answered]}`);
    console.log(`${labels[drawn]!.padEnd(14)}${String(row[drawn]).padStart(5)} of ${total}   ${wrong.join(', ')}`);
  }
  console.log(`accuracy ${(100 * accuracy).toFixed(2)} % on ${scenes} held-out scenes`);
  if (bytes.raw > 0) console.log(`tiles send ${bytes.sent.toFixed(0)} of ${bytes.raw.toFixed(0)} bytes a scene`);
}

const options = {
  count: valueOr('--count <n>', 'scenes', integer(1), 1000),
  seed: valueOr('--seed <n>', 'the first of their seeds', integer(0), seedRanges.heldOut.from),
  model: valueOr('--model <folder>', 'a model folder', string, 'config/models/scenes'),
  whole: flag('--whole', 'without tiles, for a network that was not retrained for tiles'),
};

export const { description, usage, run } = defineBenchmark({
  question: 'how often is the bundled model right about scenes held out from its training?',
  method:
    "Draws scenes at the camera's size, takes them through JPEG as every frame, and computes in this process what a " +
    `cluster computes: the tiles that model.yaml names, with their codecs. Passed: ${100 * promised} % are right.`,
  notMeasured: 'photographs: the model knows drawn objects only.',
  options,
  quick: { count: 200 },
  run: ask,
});

async function ask({ count, seed: first, model, whole }: Values<typeof options>) {
  const network = await loadDeployed(model, whole ? BASELINES.central : {});
  const { labels } = network;
  const input = sceneInput(network.size[1]);

  const confusion = labels.map(() => labels.map(() => 0));
  let [right, sent, raw] = [0, 0, 0];
  for (let seed = first; seed < first + count; seed++) {
    const scene = drawScene(seed);
    const answer = await network.ask(interleaved(await asNetworkSees(scene, seed, input)));
    const answered = largestIndex(answer.tensors.get(network.card.output.tensors[0]!)!);
    confusion[scene.classIndex]![answered]!++;
    if (answered === scene.classIndex) right++;
    sent += answer.sent;
    raw += answer.raw;
  }
  await network.release();
  const accuracy = right / count;
  const bytes = { sent: sent / count, raw: raw / count };
  const result = { pass: accuracy >= promised, accuracy, scenes: count, first_seed: first, bytes, confusion, labels };
  console.log(network.plan);
  printTable(result);
  return result;
}
