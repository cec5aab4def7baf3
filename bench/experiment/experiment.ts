import type { Kept } from './kept.ts';

/** What a cell needs beside its own definition. */
export interface CellContext {
  /** Folder of networks and states. */
  readonly cache: string;
  /** Frames of each side, where a cell compares. */
  readonly pairs: number;
  /** Frames before the first one that is measured. */
  readonly warmUp: number;
  readonly note: (text: string) => void;
}

/** One measurement of an experiment. */
export interface Cell<R> {
  readonly key: string;
  run(context: CellContext): Promise<R>;
}

/** An experiment: cells, and what is made of their results. */
export interface Experiment<R extends { readonly doubts: readonly string[] } = { readonly doubts: readonly string[] }> {
  readonly question: string;
  readonly notMeasured: string;
  readonly cells: readonly Cell<R>[];
  /** The rows of a Markdown table with its head; results in the order of the cells. */
  table(results: readonly (readonly [key: string, result: R])[]): readonly (readonly string[])[];
  /** SVG. */
  plot(results: readonly (readonly [key: string, result: R])[]): string;
}

/** The document of an experiment. */
export function documentOf(name: string, experiment: Experiment, { cells, machine }: Kept): string {
  const results = resultsOf(experiment, cells);
  const [head, ...rows] = experiment.table(results);
  const missing = experiment.cells.map(({ key }) => key).filter((key) => cells[key] === undefined);
  return [
    `# ${experiment.question}`,
    '',
    `\`npm run bench -- experiment --name ${name}\`, on ${machine.cores} cores of ${machine.cpu}, Node ${machine.node}.`,
    `Every sample is in [${name}.json](${name}.json).`,
    '',
    `![${experiment.question}](${name}.svg)`,
    '',
    ...[head!, head!.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`),
    '',
    `Not measured: ${experiment.notMeasured}`,
    ...(missing.length === 0 ? [] : ['', `Not yet measured: ${missing.join('; ')}.`]),
    '',
  ].join('\n');
}

/** The results that there are, in the order of the cells. */
export function resultsOf<R extends { readonly doubts: readonly string[] }>(
  { cells }: Experiment<R>,
  kept: Kept['cells'],
): (readonly [string, R])[] {
  return cells.flatMap(({ key }) => (kept[key] === undefined ? [] : [[key, kept[key] as R] as const]));
}
