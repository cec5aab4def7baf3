import { flag, integer, oneOf, type Values, valueOr, values } from '../cli/options.ts';
import { corpusOf, keepFound } from './fuzz/corpus.ts';
import type { Finding, Tally } from './fuzz/engine.ts';
import { superviseTarget } from './fuzz/supervise.ts';
import type { FuzzTarget } from './fuzz/target.ts';
import { TARGETS } from './fuzz/targets.ts';
import { defineBenchmark } from './harness/benchmark.ts';

/**
 * Growth over a run up to which it counts as noise, MB (10^6 bytes); a leak of 100 bytes an input shows in 200 000
 * inputs.
 */
const HEAP_NOISE_MB = 16;
const RSS_NOISE_MB = 128;
const HANG_MS = 20_000;
const HOUR_MS = 3_600_000;
/** Findings of a target that are printed; with --json all are. */
const SHOWN = 5;

interface Row extends Omit<Tally, 'findings'> {
  readonly target: string;
  readonly per_second: number;
  readonly corpus: number;
  readonly findings: { readonly kind: string; readonly index: number; readonly what: string; readonly path?: string }[];
}

const options = {
  inputs: valueOr('--inputs <n>', 'inputs of all targets together', integer(0), 100_000),
  seconds: valueOr('--seconds <n>', 'at most so long for each target', integer(1), 60),
  target: values(
    '--target <name>',
    'only this decoder; repeat it for several',
    oneOf(...TARGETS.map(({ name }) => name)),
  ),
  seed: valueOr('--seed <n>', 'repeats a run; otherwise the hour', integer(0), Math.floor(Date.now() / HOUR_MS)),
  keep: flag('--keep', 'add what is found to test/corpus'),
};

export const { description, usage, run } = defineBenchmark({
  question: 'can any input crash, hang or mislead a decoder?',
  method:
    'Every decoder of data from outside gets valid samples with changes that know their ' +
    'format, and all inputs of earlier findings (test/corpus). Passed: no crash, no hang, no invalid input ' +
    'accepted, no growth of memory.',
  notMeasured: 'code coverage; decoders of libraries beyond what reaches them through ours.',
  options,
  quick: { inputs: 6000, seconds: 1 },
  run: fuzzAll,
});

async function fuzzAll({ inputs, seconds, target: only, seed, keep }: Values<typeof options>) {
  const chosen = TARGETS.filter(({ name }) => only.length === 0 || only.includes(name));
  const weights = chosen.reduce((sum, { weight = 1 }) => sum + weight, 0);
  const rows: Row[] = [];
  for (const target of chosen) {
    const row = await fuzz(
      target,
      { seed, seconds, inputs: Math.ceil((inputs * (target.weight ?? 1)) / weights) },
      keep,
    );
    rows.push(row);
    const memory = row.heap_growth_mb === null ? '' : `, memory ${signed(row.heap_growth_mb)} MB`;
    console.log(
      `${target.name.padEnd(12)} ${String(row.inputs).padStart(8)} inputs, ${String(row.per_second).padStart(6)}/s, ` +
        `${percent(row.accepted, row.inputs)} accepted, slowest ${row.slowest_ms} ms${memory}, ${row.findings.length} found`,
    );
    for (const { kind, index, what, path } of row.findings.slice(0, SHOWN))
      console.log(`  ${kind} at input ${index}${path === undefined ? '' : ` (${path})`}: ${inShort(what)}`);
  }
  const total = rows.reduce((sum, row) => sum + row.inputs, 0);
  return { pass: rows.every(isClean), seed, inputs: total, targets: rows };
}

function isClean(row: Row): boolean {
  return (
    row.findings.length === 0 &&
    row.accepted > 0 &&
    (row.heap_growth_mb ?? 0) <= HEAP_NOISE_MB &&
    (row.rss_growth_mb ?? 0) <= RSS_NOISE_MB
  );
}

/** Runs one target; where its process dies the input is a finding, and a new process continues after it. */
async function fuzz(
  target: FuzzTarget,
  { seed, inputs, seconds }: { seed: number; inputs: number; seconds: number },
  keep: boolean,
): Promise<Row> {
  const findings: Finding[] = [];
  const end = performance.now() + seconds * 1000;
  let from = 0;
  let tally: Tally | undefined;
  while (tally === undefined && findings.length < 5) {
    const left = Math.max(1, (end - performance.now()) / 1000);
    const outcome = await superviseTarget(target, {
      seed,
      from,
      inputs: inputs - from,
      seconds: left,
      hangMs: HANG_MS,
    });
    if ('tally' in outcome) ({ tally } = outcome);
    else {
      findings.push(outcome.death);
      from = outcome.index + 1;
    }
  }
  const { findings: others = [], ...counts } = tally ?? EMPTY;
  const all = [...findings, ...others].map(({ kind, index, what, input }) => ({
    kind,
    index,
    what,
    ...(keep && index >= 0 ? { path: keepFound(target.name, input) } : {}),
  }));
  return {
    target: target.name,
    ...counts,
    inputs: counts.inputs + from,
    busy_ms: Math.round(counts.busy_ms),
    slowest_ms: Math.round(counts.slowest_ms * 10) / 10,
    per_second: Math.round((1000 * counts.inputs) / Math.max(1, counts.busy_ms)),
    corpus: corpusOf(target.name).length,
    findings: all,
  };
}

const EMPTY: Tally = {
  inputs: 0,
  accepted: 0,
  refused: 0,
  busy_ms: 0,
  slowest_ms: 0,
  findings: [],
  heap_growth_mb: null,
  rss_growth_mb: null,
};

/** The message of an error and where it came from. */
function inShort(what: string): string {
  const [first = '', ...frames] = what.split('\n');
  const places = frames.map((frame) => /(\w[\w-]*\.js:\d+)/.exec(frame)?.[1]).filter((place) => place !== undefined);
  return `${first.slice(0, 200)} ${places.slice(0, 4).join(' < ')}`;
}

const percent = (part: number, whole: number): string =>
  `${Math.round((100 * part) / Math.max(1, whole))} %`.padStart(5);
const signed = (value: number): string => `${value < 0 ? '' : '+'}${value}`;
