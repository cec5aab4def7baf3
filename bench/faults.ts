import type { Answer } from '../cli/frames.ts';
import { integer, oneOf, value, valueOr } from '../cli/options.ts';
import { FaultyCluster, nodesOf } from './faults/faulty-cluster.ts';
import { defineBenchmark } from './harness/benchmark.ts';
import { FORMS, type FormName } from './plan-forms/forms.ts';

interface Row {
  readonly seed: number;
  readonly results: number;
  readonly lost_or_wrong: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly nodes: readonly string[];
}

interface FaultOptions {
  readonly seeds: number;
  readonly seed: number;
  readonly frames: number;
  readonly form: FormName | undefined;
}

/** The same as test/e2e/faults.test.ts, for more seeds. */
export const { description, usage, run } = defineBenchmark({
  question: 'do frames get lost or wrong when nodes die, freeze or lose their link?',
  method:
    'Four nodes on this machine, each a process behind a link of its own, and a camera with policy every. While ' +
    'frames flow nodes are killed, stopped, cut off, slowed down to 1.6 Mbit/s and silenced, two to ten times a second in ' +
    'all, chosen by a seed. Passed: each frame ends `ok` with exactly the outputs of a run without faults.',
  notMeasured: 'broker and central dying (test/e2e/centrals.test.ts).',
  options: {
    seeds: valueOr('--seeds <n>', 'runs, each with a seed of its own', integer(1), 5),
    seed: valueOr('--seed <n>', 'the first of them', integer(0), 1),
    frames: valueOr('--frames <n>', 'frames a run', integer(1), 200),
    form: value(
      '--form <form>',
      "of the plan, one of bench/plan-forms/forms.ts; otherwise the plan is the planner's",
      oneOf(...FORMS),
    ),
  },
  quick: { seeds: 1, frames: 100 },
  run: measure,
});

async function measure({ seeds, seed: firstSeed, frames, form }: FaultOptions) {
  const rows: Row[] = [];
  let pass = true;
  const cluster = await FaultyCluster.start({ form });
  try {
    for (let i = 0; i < seeds; i++) {
      const seed = firstSeed + i;
      const { answers, problems, faults, seconds } = await cluster.disturb(frames, seed);
      for (const problem of problems) console.error(`seed ${seed}: ${problem}`);
      const row = {
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
      pass &&= problems.length === 0 && answers.length === frames;
      console.log(
        `seed ${seed}: ${row.results} results of ${frames}, ${problems.length} lost or wrong, ` +
          `${Object.values(faults).reduce((a, b) => a + b, 0)} faults in ${seconds.toFixed(1)} s, ` +
          `latency p50 ${row.p50_ms.toFixed(0)} p99 ${row.p99_ms.toFixed(0)} ms`,
      );
      await cluster.repair();
    }
  } finally {
    await cluster.end();
  }
  return { pass, frames, form: form ?? "the planner's", rows };
}

function latency(answers: readonly Answer[], share: number): number {
  const sorted = answers.map(({ result }) => result.latency_ms).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}
