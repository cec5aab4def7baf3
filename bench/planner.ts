import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseProfile } from '../central/planner/profile/parse.ts';
import { type Gap, gapsOf } from '../central/planner/query/gaps.ts';
import { STRATEGIES } from '../central/planner/strategies.ts';
import { isNoPlan, type Problem, type Strategy } from '../central/planner/strategy.ts';
import { integer, type Values, valueOr } from '../cli/options.ts';
import { table } from '../cli/output.ts';
import { dataFolder, dataOption, defineBenchmark } from './harness/benchmark.ts';
import { branchedProfile, deepProblem, problemOfFive } from './planner/problems.ts';

/** The most pipelines of a measured profile, and how long their ranking may take. */
const PIPELINES = 17_113;
const RANKING_MS = 5;
/** A network with branches, and how long its exact cut in two may take. */
const LAYERS = 500;
const CUT_MS = 20;
const TILES_MS = 200;
/** Gaps below it are rounding. */
const ROUNDING = 1e-9;

const options = {
  data: dataOption,
  repeats: valueOr('--repeats <n>', 'runs of each measurement; the shortest counts', integer(1, 1000), 50),
  seed: valueOr('--seed <n>', 'seed of the network with branches', integer(1), 1),
};

export const { description, usage, run } = defineBenchmark({
  question: 'how long do strategies take, and how far from the optimum are their plans?',
  method:
    'Times the ranking of all 17 113 pipelines of MobileNet, from the parsed profile to the best five (target: 5 ms); ' +
    'the cut of a network of 500 layers with branches between two machines by the strategies that find the best plan ' +
    '(the fastest of them: 20 ms); and the search of tiles for ResNet-152 on 16 unequal nodes (the slowest strategy: ' +
    '200 ms). Then asks every strategy about every measured profile, and compares its best plan with the best of all. ' +
    'Passed: the targets of those that exist are met.',
  needs: 'the measured profiles of --data for all but the network with branches and the tiles.',
  notMeasured: 'whether predictions are right; problems of other sizes; reading and checking the profile.',
  options,
  quick: {},
  run: measure,
});

async function measure({ data, repeats, seed }: Values<typeof options>) {
  const folder = join(dataFolder(data), 'profiles');
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => /^scission-(?!golden)/.test(file)) : [];
  const profiles = files.sort().map((file) => {
    const profile = parseProfile(JSON.parse(readFileSync(join(folder, file), 'utf8')));
    return { name: file.replace(/^scission-|\.json$/g, ''), profile };
  });
  if (profiles.length === 0)
    console.log(`${folder} has no measured profiles: without them only two targets are measured`);

  const strategies = [...STRATEGIES.values()];
  const ranking = profiles.flatMap(({ name, profile }) =>
    strategies.flatMap((strategy) => {
      if (strategy.compared?.(problemOfFive(profile)) !== PIPELINES) return [];
      const ms = leastMs(repeats, () => strategy.propose(problemOfFive(profile)));
      return [{ what: `${PIPELINES} pipelines of ${name}, ${strategy.name}`, ms, target_ms: RANKING_MS }];
    }),
  );
  const targets = [...ranking, ...twoTierCut(strategies, seed, repeats), ...tileSearch(strategies, repeats)];
  for (const { what, ms, target_ms } of targets) console.log(`${what}: ${ms.toFixed(2)} ms (target ${target_ms} ms)`);

  const asked = profiles.map(({ name, profile }) => {
    const problem = problemOfFive(profile);
    return { name, problem, gaps: gapsBetween(strategies, problem) };
  });
  const gaps = strategies.map((strategy) => summary(strategy, asked, repeats));
  console.log('');
  for (const line of table(
    [
      { title: 'strategy', cell: ({ strategy }) => strategy },
      { title: 'plans', align: 'right', cell: ({ profiles }) => `${profiles.length}` },
      { title: 'optimal', align: 'right', cell: ({ optimal }) => `${optimal}` },
      { title: 'gap, median', align: 'right', cell: ({ median_gap }) => percent(median_gap) },
      { title: 'largest', align: 'right', cell: ({ largest_gap }) => percent(largest_gap) },
      { title: 'ms, median', align: 'right', cell: ({ median_ms }) => median_ms?.toFixed(2) ?? '-' },
      { title: 'largest', align: 'right', cell: ({ largest_ms }) => largest_ms?.toFixed(2) ?? '-' },
    ],
    gaps,
  ))
    console.log(line);
  return { pass: targets.every(({ ms, target_ms }) => ms <= target_ms), targets, strategies: gaps };
}

function percent(share: number | undefined): string {
  return share === undefined ? '-' : `${(100 * share).toFixed(1)} %`;
}

/** The gaps of strategies with a plan, by name: 0 is the best of all. */
function gapsBetween(strategies: readonly Strategy[], problem: Problem): ReadonlyMap<string, Gap> {
  const proposals = strategies.map((strategy) => {
    return { strategy: strategy.name, proposed: strategy.propose(problem), compared: 0 };
  });
  return new Map(gapsOf(problem, proposals).flatMap((found) => ('gap' in found ? [[found.strategy, found]] : [])));
}

/** The fastest of the strategies that find the best plan between two machines. */
function twoTierCut(strategies: readonly Strategy[], seed: number, repeats: number) {
  const problem = problemOfFive(branchedProfile(LAYERS, seed));
  const gaps = gapsBetween(strategies, problem);
  const [best] = strategies
    .filter(({ name }) => (gaps.get(name)?.gap ?? 1) <= ROUNDING)
    .map((strategy) => ({ name: strategy.name, ms: leastMs(repeats, () => strategy.propose(problem)) }))
    .sort((a, b) => a.ms - b.ms);
  const what = `cut of ${problem.graph.layers.length} layers between two machines, ${best!.name}`;
  return [{ what, ms: best!.ms, target_ms: CUT_MS }];
}

/** The slowest of the strategies that split the network into tiles. */
function tileSearch(strategies: readonly Strategy[], repeats: number) {
  const problem = deepProblem();
  const times = strategies
    .filter((strategy) => {
      const plans = strategy.propose(problem);
      return !isNoPlan(plans) && plans.some(({ stages }) => stages.some(({ split }) => split.kind !== 'whole'));
    })
    .map((strategy) => ({ name: strategy.name, ms: leastMs(Math.min(repeats, 5), () => strategy.propose(problem)) }))
    .sort((a, b) => b.ms - a.ms);
  return times.slice(0, 1).map(({ name, ms }) => {
    return { what: `tiles of ResNet-152 on 16 unequal nodes, ${name}`, ms, target_ms: TILES_MS };
  });
}

/** A strategy's plans for all profiles beside the best of all, and how long it takes for them. */
function summary(
  strategy: Strategy,
  asked: readonly { readonly name: string; readonly problem: Problem; readonly gaps: ReadonlyMap<string, Gap> }[],
  repeats: number,
) {
  const rows = asked.flatMap(({ name, problem, gaps }) => {
    const own = gaps.get(strategy.name);
    if (own === undefined) return [];
    const ms = leastMs(Math.min(repeats, 5), () => strategy.propose(problem));
    return [{ profile: name, latency_ms: own.value, gap: own.gap, ms }];
  });
  const times = rows.map(({ ms }) => ms);
  const gaps = rows.map(({ gap }) => gap);
  return {
    strategy: strategy.name,
    profiles: rows,
    optimal: gaps.filter((gap) => gap <= ROUNDING).length,
    median_gap: median(gaps),
    largest_gap: gaps.length === 0 ? undefined : Math.max(...gaps),
    median_ms: median(times),
    largest_ms: times.length === 0 ? undefined : Math.max(...times),
  };
}

function median(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** The least time of a function's runs: longer ones are those in which the machine did something else too. */
function leastMs(repeats: number, work: () => unknown): number {
  let least = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < repeats; turn++) {
    const start = performance.now();
    work();
    least = Math.min(least, performance.now() - start);
  }
  return least;
}
