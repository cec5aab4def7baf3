import { access, open, readFile } from 'node:fs/promises';
import { integer, string, type Values, value, valueOr } from '../cli/options.ts';
import { TesseraError } from '../shared/errors.ts';
import { interleaved, largestIndex, loadDeployed } from './accuracy/as-deployed.ts';
import { type Agreement, agreementLine, compareDecisions, type Decision, readExpected } from './accuracy/expected.ts';
import { defineBenchmark } from './harness/benchmark.ts';

/** The least agreement with PyTorch, on predictions and on exits. */
const AGREEMENT = 0.999;

interface ResultLine {
  /** The best class first, also where no score is high enough for `top`. */
  readonly predictions: readonly { readonly label: string }[];
  readonly exit: number | null;
  readonly bytes_down: number;
}

/** Compares the output of `tessera infer FILE... --json`, in the order of `expected`, with PyTorch's answers. */
async function compareResults(file: string, expected: readonly Decision[], labels: readonly string[], exits: boolean) {
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  const results = lines.map((line) => JSON.parse(line) as ResultLine);
  if (results.length !== expected.length)
    throw new Error(`${file} has ${results.length} results where answers.json has ${expected.length}`);
  const decided = results.map(({ predictions, exit }) => ({
    answer: labels.indexOf(predictions[0]?.label ?? ''),
    exit,
  }));
  const agreed = compareDecisions(decided, expected);
  const pictures = results.length;
  const bytes = results.reduce((sum, result) => sum + result.bytes_down, 0) / pictures;
  console.log(`${agreementLine(agreed, pictures, exits)}, ${bytes.toFixed(0)} bytes a picture`);
  return { ...judged(agreed, pictures), pictures, left_early: agreed.left / pictures, bytes };
}

/** Shares of agreement, and whether they are enough. */
function judged({ answers, exits }: Agreement, pictures: number) {
  const [agreement, exit_agreement] = [answers / pictures, exits / pictures];
  return { pass: Math.min(agreement, exit_agreement) >= AGREEMENT, agreement, exit_agreement };
}

const options = {
  model: valueOr(
    '--model <folder>',
    "a model folder of training, with PyTorch's answers",
    string,
    'config/models/scenes',
  ),
  records: valueOr(
    '--records <file>',
    'its test pictures, as training writes them',
    string,
    'training/runs/validation.bin',
  ),
  answers: value('--answers <file>', "PyTorch's answers; otherwise answers.json of the model", string),
  results: value('--results <file>', 'what `tessera infer --json` answered, instead of computing here', string),
  count: valueOr('--count <n>', 'pictures; 0: all', integer(0), 0),
};

export const { description, usage, run } = defineBenchmark({
  question: 'does a retrained network, tiled and coded, give the same answers as in PyTorch?',
  method:
    'Runs tiles, codecs and rest of a retrained network as a cluster does, in one process, on the record files of ' +
    `training (a label byte and planes R, G, B at the network's size). Passed: ${100 * AGREEMENT} % of the answers, and ` +
    'of the exits, are the same.',
  needs: 'a network that training/retrain.py made, with its answers.json and its test pictures (training/README.md).',
  notMeasured: 'preprocessing of pictures (training decoded them), time.',
  options,
  quick: { count: 200 },
  run: compare,
});

async function compare(asked: Values<typeof options>) {
  const answersFile = asked.answers ?? `${asked.model}/answers.json`;
  const files = asked.results === undefined ? [answersFile, asked.records] : [answersFile];
  for (const file of files)
    await access(file).catch(() => {
      throw new TesseraError('TESSERA_USAGE', `${file} is missing`, {
        hint: 'make it with training/retrain.py, as training/README.md says, and name the folder with --model',
      });
    });
  const expected = await readExpected(answersFile);
  const network = await loadDeployed(asked.model);
  const { exits } = network.card;
  if (asked.results !== undefined) {
    await network.release();
    return compareResults(asked.results, expected, network.labels, exits.length > 0);
  }
  const length = 1 + 3 * network.size[0] * network.size[1];
  const count = asked.count === 0 ? expected.length : Math.min(asked.count, expected.length);
  const file = await open(asked.records);
  const record = new Uint8Array(length);
  const output = network.card.output.tensors[0]!;
  const decided: Decision[] = [];
  let [right, sent, raw] = [0, 0, 0];
  for (let at = 0; at < count; at++) {
    await file.read(record, 0, length, at * length);
    const asked = await network.ask(interleaved(record.subarray(1)));
    const decider = asked.exit === null ? output : exits[asked.exit]!.tensor;
    const answer = largestIndex(asked.tensors.get(decider)!);
    decided.push({ answer, exit: asked.exit });
    if (answer === record[0]) right++;
    sent += asked.sent;
    raw += asked.raw;
  }
  await file.close();
  await network.release();
  const agreed = compareDecisions(decided, expected);
  const result = {
    ...judged(agreed, count),
    model: network.card.name,
    plan: network.plan,
    pictures: count,
    accuracy: right / count,
    left_early: agreed.left / count,
    bytes: sent / count,
    raw_bytes: raw / count,
  };
  console.log(`${network.card.name}: ${network.plan}`);
  console.log(
    `accuracy ${(100 * result.accuracy).toFixed(2)} %, ${agreementLine(agreed, count, exits.length > 0)}, ` +
      `${result.bytes.toFixed(0)} of ${result.raw_bytes.toFixed(0)} bytes a picture`,
  );
  return result;
}
