import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Answer } from '../cli/frames.ts';
import { integer, oneOf, value, valueOr } from '../cli/options.ts';
import { TesseraError } from '../shared/errors.ts';
import { writeModel } from '../shared/onnx/write.ts';
import { FaultyCluster, nodesOf } from './faults/faulty-cluster.ts';
import { defineBenchmark } from './harness/benchmark.ts';
import { FORMS, type FormName } from './plan-forms/forms.ts';
import { ZOO } from './zoo/networks.ts';

interface Row {
  readonly form: string;
  readonly model: string;
  readonly seed: number;
  readonly results: number;
  readonly lost_or_wrong: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly nodes: readonly string[];
}

const ALL = 'all';
const BUNDLED = 'scenes';
/** A residual network with an eighth of its channels, for forms of plan that need skips. */
const RESIDUAL = { name: 'resnet-18', width: 1 / 8 } as const;

interface FaultOptions {
  readonly seeds: number;
  readonly seed: number;
  readonly frames: number;
  readonly form: FormName | typeof ALL | undefined;
}

/** The same as test/e2e/faults.test.ts, for more seeds. */
export const { description, usage, run } = defineBenchmark({
  question: 'do frames get lost or wrong when nodes die, freeze or lose their link?',
  method:
    'Four nodes on this machine, each a process behind a link of its own, and a camera with policy every. While ' +
    'frames flow nodes are killed, stopped, cut off, slowed down to 1.6 Mbit/s and silenced, two to ten times a second in ' +
    'all, chosen by a seed. The model is the bundled one; for forms of plan that it has no place for, ResNet-18 with an ' +
    'eighth of its channels and seeded weights. Passed: each frame ends `ok` with exactly the outputs of a run without faults.',
  notMeasured: 'broker and central dying (test/e2e/centrals.test.ts).',
  options: {
    seeds: valueOr('--seeds <n>', 'runs, each with a seed of its own', integer(1), 5),
    seed: valueOr('--seed <n>', 'the first of them', integer(0), 1),
    frames: valueOr('--frames <n>', 'frames a run', integer(1), 200),
    form: value(
      '--form <form>',
      `of the plan, one of bench/plan-forms/forms.ts, or ${ALL} of them; otherwise the plan is the planner's`,
      oneOf(ALL, ...FORMS),
    ),
  },
  quick: { seeds: 1, frames: 100 },
  run: measure,
});

async function measure({ form, ...options }: FaultOptions) {
  const folder = await mkdtemp(join(tmpdir(), 'tessera-faults-'));
  try {
    let residual: string | undefined;
    const rows: Row[] = [];
    for (const one of form === ALL ? FORMS : [form]) {
      try {
        rows.push(...(await measureForm(one, BUNDLED, options)));
      } catch (error) {
        if (!(error instanceof TesseraError && error.code === 'TESSERA_USAGE')) throw error;
        residual ??= await residualModel(folder);
        rows.push(...(await measureForm(one, residual, options)));
      }
    }
    const pass = rows.every(({ results, lost_or_wrong }) => results === options.frames && lost_or_wrong === 0);
    return { pass, frames: options.frames, rows };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The path of a model folder. */
async function residualModel(folder: string): Promise<string> {
  const { name, width } = RESIDUAL;
  const path = join(folder, name);
  await mkdir(path);
  await writeFile(join(path, 'model.onnx'), writeModel(ZOO.get(name)!.build({ width })));
  await writeFile(join(path, 'model.yaml'), `name: ${name}\ntask: raw\n`);
  return path;
}

async function measureForm(
  form: FormName | undefined,
  model: string,
  { seeds, seed: firstSeed, frames }: Omit<FaultOptions, 'form'>,
): Promise<Row[]> {
  const rows: Row[] = [];
  const cluster = await FaultyCluster.start({ form, model });
  try {
    for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
      const { answers, problems, faults, seconds } = await cluster.disturb(frames, seed);
      for (const problem of problems) console.error(`seed ${seed}: ${problem}`);
      const row = {
        form: form ?? "the planner's",
        model: basename(model),
        seed,
        results: answers.length,
        lost_or_wrong: problems.length,
        faults,
        seconds,
        p50_ms: latency(answers, 0.5),
        p99_ms: latency(answers, 0.99),
        nodes: nodesOf(answers),
      };
      rows.push(row);
      console.log(
        `${row.form}, ${row.model}, seed ${seed}: ${row.results} results of ${frames}, ${problems.length} lost or wrong, ` +
          `${Object.values(faults).reduce((a, b) => a + b, 0)} faults in ${seconds.toFixed(1)} s, ` +
          `latency p50 ${row.p50_ms.toFixed(0)} p99 ${row.p99_ms.toFixed(0)} ms`,
      );
      await cluster.repair();
    }
  } finally {
    await cluster.end();
  }
  return rows;
}

function latency(answers: readonly Answer[], share: number): number {
  const sorted = answers.map(({ result }) => result.latency_ms).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}
