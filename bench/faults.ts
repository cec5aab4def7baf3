import { parseArgs } from 'node:util';
import type { Answer } from '../cli/frames.ts';
import { FaultyCluster, nodesOf } from './faults/faulty-cluster.ts';

/**
 * Four nodes on this machine, each a process behind a link of its own, and a camera whose every frame counts. While
 * frames flow nodes are killed, stopped, cut off, slowed down to 1.6 Mbit/s and silenced, two to ten times a second in
 * all, as a seed says. Each frame must end `ok` with exactly the outputs of an undisturbed run. The same as
 * test/e2e/faults.test.ts, for more seeds. Not measured: broker and central dying (test/e2e/centrals.test.ts).
 */
export const description = 'do frames get lost or wrong when nodes die, freeze or lose their link?';

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

/** `--seeds N` runs (5), the first of seed `--seed S` (1), of `--frames F` (200) each. */
export async function run(args: string[]): Promise<{ pass: boolean; [key: string]: unknown }> {
  const { values } = parseArgs({
    args,
    options: {
      seeds: { type: 'string', default: '5' },
      seed: { type: 'string', default: '1' },
      frames: { type: 'string', default: '200' },
    },
  });
  const frames = Number(values.frames);
  const rows: Row[] = [];
  let pass = true;
  const cluster = await FaultyCluster.start();
  try {
    for (let i = 0; i < Number(values.seeds); i++) {
      const seed = Number(values.seed) + i;
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
      await cluster.mend();
    }
  } finally {
    await cluster.end();
  }
  return { pass, frames, rows };
}

function latency(answers: readonly Answer[], share: number): number {
  const sorted = answers.map(({ result }) => result.latency_ms).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}
