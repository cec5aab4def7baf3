import { integer, oneOf, string, type Values, valueOr, values } from '../cli/options.ts';
import { comparisonOptions } from './cluster/options.ts';
import { latency, overhead, scaling } from './experiment/comparisons.ts';
import { dynamic } from './experiment/dynamic.ts';
import { documentOf, type Experiment, resultsOf } from './experiment/experiment.ts';
import { readKept, writeKept } from './experiment/kept.ts';
import { checkNames, defineBenchmark } from './harness/benchmark.ts';
import { untilSignal } from './testbed/until-signal.ts';

const EXPERIMENTS = { latency, scaling, dynamic, overhead } as const;
const NAMES = Object.keys(EXPERIMENTS) as (keyof typeof EXPERIMENTS)[];

const options = {
  name: valueOr('--name <name>', NAMES.join(', '), oneOf(...NAMES), 'latency'),
  cell: values('--cell <key>', 'only this cell, again if it is kept; repeat it for several', string),
  most: valueOr('--most <n>', 'end after so many cells; the next run goes on', integer(1), 1000),
  out: valueOr('--out <folder>', 'where JSON, table and plot are kept', string, 'docs/benchmarks'),
  ...comparisonOptions,
};

export const { description, usage, run } = defineBenchmark({
  question: "what do the papers' experiments give on emulated small computers?",
  method:
    'Runs the cells of one experiment that are not kept yet, each as `bench cluster` measures, and keeps every one as soon ' +
    'as it is measured, with all samples; then writes the Markdown table and the plot of all that are kept. A cell that ' +
    'is doubted (free share, noise, other load) is told and not kept. Passed: no cell was doubted.',
  needs: 'what `bench cluster` needs; the first cell of a network takes minutes, in which blobs reach the nodes.',
  notMeasured: 'see each experiment: its document says it.',
  options,
  quick: { most: 1, pairs: 5, warmUp: 20 },
  run: measure,
});

async function measure({ name, cell: asked, most, pairs, warmUp, out, cache }: Values<typeof options>) {
  // Each experiment reads only what its own cells gave.
  const experiment = EXPERIMENTS[name] as unknown as Experiment;
  checkNames(
    '--cell',
    asked,
    experiment.cells.map(({ key }) => key),
  );
  let kept = await readKept(out, name);
  const due = experiment.cells.filter(({ key }) => (asked.length > 0 ? asked.includes(key) : !(key in kept.cells)));
  const doubted: Record<string, readonly string[]> = {};
  for (const { key, run: measureCell } of due.slice(0, most)) {
    console.error(`${name}: ${key}`);
    const result = await untilSignal(() =>
      measureCell({ cache, pairs, warmUp, note: (text) => console.error(`  ${text}`) }),
    );
    if (result.doubts.length > 0) {
      doubted[key] = result.doubts;
      console.error(`  not kept: ${result.doubts.join('; ')}`);
      continue;
    }
    kept = { ...kept, cells: { ...kept.cells, [key]: result } };
    const hasAll = resultsOf(experiment, kept.cells);
    await writeKept(out, kept, documentOf(name, experiment, kept), experiment.plot(hasAll));
  }
  for (const row of resultsOf(experiment, kept.cells).length === 0
    ? []
    : experiment.table(resultsOf(experiment, kept.cells)))
    console.log(`| ${row.join(' | ')} |`);
  return {
    pass: Object.keys(doubted).length === 0,
    name,
    kept: Object.keys(kept.cells),
    left: experiment.cells.map(({ key }) => key).filter((key) => !(key in kept.cells)),
    doubted,
  };
}
