import { open, readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { interleaved, largestIndex, loadDeployed } from './accuracy/as-deployed.ts';

/*
 * Does a retrained network compute in Tessera what it computed in PyTorch? Runs its tiles, codecs and rest as a cluster
 * does, in one process, on the record files of training (a label byte and planes R, G, B at the network's size).
 *
 * Not measured: preparation of pictures (training decoded them), time.
 */

/** The question, for the list of benchmarks. */
export const description = 'does a retrained network, tiled and coded, answer what it answered in PyTorch?';

/** The least agreement with PyTorch. */
const AGREEMENT = 0.999;

/** Compares what `tessera infer FILE... --json` printed, in the order of `expected`, with PyTorch's answers. */
async function compareResults(file: string, expected: readonly number[], labels: readonly string[]) {
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  const results = lines.map((line) => JSON.parse(line) as { top: { label: string } | null; bytes_down: number });
  if (results.length !== expected.length)
    throw new Error(`${file} has ${results.length} results where answers.json has ${expected.length}`);
  const agreed = results.filter(({ top }, at) => top?.label === labels[expected[at]!]).length;
  const bytes = results.reduce((sum, result) => sum + result.bytes_down, 0) / results.length;
  const agreement = agreed / results.length;
  console.log(`agrees with PyTorch on ${agreed} of ${results.length} pictures, ${bytes.toFixed(0)} bytes a picture`);
  return { pass: agreement >= AGREEMENT, pictures: results.length, agreement, bytes };
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
  const expected = JSON.parse(await readFile(answersFile, 'utf8')) as readonly number[];
  const network = await loadDeployed(values.model);
  if (values.results !== undefined) {
    await network.release();
    return compareResults(values.results, expected, network.labels);
  }
  const length = 1 + 3 * network.size[0] * network.size[1];
  const count = Number(values.count) === 0 ? expected.length : Math.min(Number(values.count), expected.length);
  const file = await open(values.records);
  const record = new Uint8Array(length);
  const output = network.card.output.tensors[0]!;
  let [right, agreed, sent, raw] = [0, 0, 0, 0];
  for (let at = 0; at < count; at++) {
    await file.read(record, 0, length, at * length);
    const answer = await network.ask(interleaved(record.subarray(1)));
    const answered = largestIndex(answer.outputs.get(output)!);
    if (answered === record[0]) right++;
    if (answered === expected[at]) agreed++;
    sent += answer.sent;
    raw += answer.raw;
  }
  await file.close();
  await network.release();
  const result = {
    pass: agreed / count >= AGREEMENT,
    model: network.card.name,
    plan: network.plan,
    pictures: count,
    accuracy: right / count,
    agreement: agreed / count,
    bytes: sent / count,
    raw_bytes: raw / count,
  };
  console.log(`${network.card.name}: ${network.plan}`);
  console.log(
    `accuracy ${(100 * result.accuracy).toFixed(2)} %, agrees with PyTorch on ${(100 * result.agreement).toFixed(2)} % of ` +
      `${count} pictures, ${result.bytes.toFixed(0)} of ${result.raw_bytes.toFixed(0)} bytes a picture`,
  );
  return result;
}
