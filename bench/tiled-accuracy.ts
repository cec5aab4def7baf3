import { open, readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { interleaved, largestIndex, loadDeployed } from './accuracy/as-deployed.ts';
import { type Agreement, agreementLine, compareDecisions, type Decision, readExpected } from './accuracy/expected.ts';

/*
 * Does a retrained network compute in Tessera what it computed in PyTorch? Runs its tiles, codecs and rest as a cluster
 * does, in one process, on the record files of training (a label byte and planes R, G, B at the network's size).
 *
 * Not measured: preparation of pictures (training decoded them), time.
 */

/** The question, for the list of benchmarks. */
export const description = 'does a retrained network, tiled and coded, answer what it answered in PyTorch?';

/** The least agreement with PyTorch, on answers and on exits. */
const AGREEMENT = 0.999;

interface ResultLine {
  /** The best first, also where no score is high enough for `top`. */
  readonly predictions: readonly { readonly label: string }[];
  readonly exit: number | null;
  readonly bytes_down: number;
}

/** Compares what `tessera infer FILE... --json` printed, in the order of `expected`, with PyTorch's answers. */
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

/**
 * Options: `--model DIR` (with PyTorch's answers as answers.json), `--records FILE`, `--count N` (0: all);
 * `--results FILE`: what a real cluster answered, instead of computing here.
 */
export async function run(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      model: { type: 'string', default: 'config/models/scenes' },
      records: { type: 'string', default: 'training/runs/validation.bin' },
      answers: { type: 'string' },
      results: { type: 'string' },
      count: { type: 'string', default: '0' },
    },
  });
  const answersFile = values.answers ?? `${values.model}/answers.json`;
  const expected = await readExpected(answersFile);
  const network = await loadDeployed(values.model);
  const { exits } = network.card;
  if (values.results !== undefined) {
    await network.release();
    return compareResults(values.results, expected, network.labels, exits.length > 0);
  }
  const length = 1 + 3 * network.size[0] * network.size[1];
  const count = Number(values.count) === 0 ? expected.length : Math.min(Number(values.count), expected.length);
  const file = await open(values.records);
  const record = new Uint8Array(length);
  const output = network.card.output.tensors[0]!;
  const decided: Decision[] = [];
  let [right, sent, raw] = [0, 0, 0];
  for (let at = 0; at < count; at++) {
    await file.read(record, 0, length, at * length);
    const asked = await network.ask(interleaved(record.subarray(1)));
    const decider = asked.exit === null ? output : exits[asked.exit]!.tensor;
    const answer = largestIndex(asked.outputs.get(decider)!);
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
