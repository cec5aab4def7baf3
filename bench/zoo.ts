import { integer, positive, string, type Values, value, valueOr } from '../cli/options.ts';
import { TesseraError } from '../shared/errors.ts';
import { modelTotals } from '../shared/onnx/cost.ts';
import { singleCuts } from '../shared/onnx/cuts.ts';
import { resolveModel } from '../shared/onnx/resolve.ts';
import { writeModel } from '../shared/onnx/write.ts';
import { writeOutput } from '../shared/runtime/whole-file.ts';
import { longestPrefix } from '../shared/tiling/prefix.ts';
import { checkNames, defineBenchmark } from './harness/benchmark.ts';
import { ZOO } from './zoo/networks.ts';

const options = {
  model: value('--model <name>', 'only this network', string),
  width: valueOr('--width <factor>', 'factor of the channels of every layer; 1 is as published', positive, 1),
  seed: valueOr('--seed <n>', 'seed of the weights', integer(1), 1),
  out: value('--out <file.onnx>', 'write the network of --model to this file', string),
};

export const { description, usage, run } = defineBenchmark({
  question: 'how far can the networks of the papers be distributed?',
  method:
    'Builds the architectures that ADCNN, Scission, D3 and what they were compared with were measured on, with seeded ' +
    'weights and without the softmax at the end, and lists their parameters, multiply-adds, single-tensor cut points, ' +
    'and the share of the multiply-adds that tiles reach. With --model and --out it writes one as an ONNX file, which ' +
    'every command of tessera takes. Passed: every network can be cut, and tiles reach into it.',
  notMeasured: 'time, and accuracy: nothing is trained.',
  options,
  quick: {},
  run: survey,
});

async function survey({ model: only, width, seed, out }: Values<typeof options>) {
  if (only !== undefined) checkNames('--model', [only], [...ZOO.keys()]);
  if (out !== undefined && only === undefined)
    throw new TesseraError('TESSERA_USAGE', '--out writes one network', { hint: 'name it with --model' });
  const names = only === undefined ? [...ZOO.keys()] : [only];
  const rows = names.map((name) => describe(name, width, seed));
  console.log('| network | input | parameters | multiply-adds | cut points | within reach of tiles |');
  console.log('|---|---|---|---|---|---|');
  for (const { name, input, parameters, macs, cuts, within_reach, tiles_end } of rows) {
    const cells = [name, input.join('x'), millions(parameters), millions(macs), cuts];
    console.log(`| ${cells.join(' | ')} | ${(within_reach * 100).toFixed(1)} %, to ${tiles_end} |`);
  }
  if (out !== undefined)
    await writeOutput({ what: 'the network', path: out }, writeModel(ZOO.get(only!)!.build({ width, seed })));
  return { pass: rows.every(({ cuts, within_reach }) => cuts > 0 && within_reach > 0), width, networks: rows };
}

function millions(count: number): string {
  return `${(count / 1e6).toFixed(count < 1e8 ? 1 : 0)} M`;
}

function describe(name: string, width: number, seed: number) {
  const { input, task, source, build } = ZOO.get(name)!;
  const resolved = resolveModel(build({ width, seed }));
  const { params, macs } = modelTotals(resolved);
  const prefix = longestPrefix(resolved, ['input'], { rows: 1, cols: 2 });
  const { reference, stops } = prefix;
  const stop = stops.find(({ waits }) => !waits);
  return {
    name,
    task,
    source,
    input,
    parameters: params,
    macs,
    cuts: singleCuts(resolved).length,
    within_reach: prefix.macs / macs,
    tiles_end: `${reference?.rows ?? 0}x${reference?.cols ?? 0} cells${stop === undefined ? '' : `: ${stop.op} ${stop.reason}`}`,
  };
}
