import { parseArgs } from 'node:util';
import { type OptionSpecs, type Parser, string, usage, type Values, value } from '../../cli/options.ts';
import { TesseraError } from '../../shared/errors.ts';
import { nearest } from '../../shared/nearest.ts';

/** The result of a benchmark: whether its target is met, and its figures. */
interface Outcome {
  readonly pass: boolean;
}

/** A benchmark: its help text, its options, and its function. */
interface BenchmarkSpec<O extends OptionSpecs, R extends Outcome> {
  /** The question that it answers, in one line. */
  readonly question: string;
  /** What it sets up and measures, and when it passes, in whole sentences. */
  readonly method: string;
  /** What it needs beside this machine; absent: nothing. */
  readonly needs?: string;
  readonly notMeasured: string;
  readonly options: O;
  /** What `--quick` stands for: values of options that end in under 50 s; the user's own go before them. */
  readonly quick: Partial<Values<O>>;
  run(values: Values<O>): Promise<R>;
}

/** A benchmark as `npm run bench` knows it: a file of this folder exports these three. */
export interface Benchmark<R extends Outcome = Outcome> {
  /** The question that it answers, in one line. */
  readonly description: string;
  /** What `--help` prints. */
  usage(name: string): string;
  /** Runs it with the words of a command line; throws TESSERA_USAGE for those that it does not know. */
  run(args: readonly string[]): Promise<R>;
}

/** Options that every benchmark has. */
const COMMON: readonly (readonly [flags: string, text: string])[] = [
  ['--json', 'print one line of JSON at the end'],
  ['-h, --help', 'show this'],
];

/** Makes a benchmark from its description. */
export function defineBenchmark<const O extends OptionSpecs, R extends Outcome>(
  spec: BenchmarkSpec<O, R>,
): Benchmark<R> {
  const { question, method, needs, notMeasured, options, quick } = spec;
  return {
    description: question,
    usage(name) {
      const told = Object.values(options).map(({ flags, text, fallback }) => [flags, withDefault(text, fallback)]);
      const quickly = Object.entries(quick).map(([key, chosen]) =>
        `${longFlag(options[key]!.flags)} ${shown(chosen)}`.trim(),
      );
      const rows = [
        ...told.map(([flags, text]) => [flags!, text!] as const),
        ['--quick', `an answer in under 50 s, less sure: ${quickly.join(' ') || 'as it is'}`] as const,
        ...COMMON,
      ];
      const width = Math.max(...rows.map(([flags]) => flags.length)) + 2;
      return [
        `npm run bench -- ${name} [options]`,
        '',
        `${question[0]!.toUpperCase()}${question.slice(1)}`,
        '',
        ...wrapped(method),
        ...wrapped(`Needs: ${needs ?? 'nothing but this machine.'}`),
        ...wrapped(`Not measured: ${notMeasured}`),
        '',
        'Options:',
        ...rows.map(([flags, text]) => `  ${flags.padEnd(width)}${text}`),
      ].join('\n');
    },
    run: async (args) => spec.run(parseOptions(options, args, quick)),
  };
}

/**
 * The values of options in the words of a command line; `quick` are those that `--quick` stands for. Throws
 * TESSERA_USAGE, naming the nearest option, for one that is unknown, and for words that belong to none.
 */
export function parseOptions<O extends OptionSpecs>(
  specs: O,
  args: readonly string[],
  quick: Partial<Values<O>> = {},
): Values<O> {
  const keys = new Map(Object.entries(specs).map(([key, { flags }]) => [longFlag(flags).slice(2), key]));
  const takesValue = (key: string): boolean => specs[key]!.parse !== undefined;
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(
      [...keys].map(([name, key]) => [name, { type: takesValue(key) ? 'string' : 'boolean' }]),
    ),
  });
  const given: Record<string, unknown> = {};
  let isQuick = false;
  for (const token of tokens) {
    if (token.kind !== 'option') {
      const word = token.kind === 'positional' ? token.value : '--';
      throw new TesseraError('TESSERA_USAGE', `${JSON.stringify(word)} belongs to no option`, { hint: listed(keys) });
    }
    const { name, rawName, value: text } = token;
    if (name === 'quick' || name === 'json') {
      isQuick ||= name === 'quick';
      continue;
    }
    const key = keys.get(name);
    if (key === undefined || !rawName.startsWith('--')) throw unknownOption(rawName, keys);
    const { parse, flags, repeated } = specs[key]!;
    if (parse === undefined) {
      if (text !== undefined) throw usage(flags, text, 'no value');
      given[key] = true;
      continue;
    }
    if (text === undefined || (token.inlineValue !== true && text.startsWith('--')))
      throw new TesseraError('TESSERA_USAGE', `${rawName} has no value`, { hint: `expected ${flags}` });
    const parsed = (parse as Parser<unknown>)(text, flags);
    given[key] = repeated === true ? [...((given[key] as unknown[] | undefined) ?? []), parsed] : parsed;
  }
  const usual = Object.entries(specs).map(([key, { fallback }]) => [key, fallback]);
  return { ...Object.fromEntries(usual), ...(isQuick ? quick : {}), ...given } as Values<O>;
}

function unknownOption(rawName: string, keys: ReadonlyMap<string, string>): TesseraError {
  const names = [...keys.keys(), 'quick', 'json', 'help'].map((name) => `--${name}`);
  const close = nearest(rawName, names);
  return new TesseraError('TESSERA_USAGE', `there is no option ${rawName}`, {
    hint: close === undefined ? listed(keys) : `did you mean ${close}?`,
  });
}

function listed(keys: ReadonlyMap<string, string>): string {
  return `options are ${[...keys.keys(), 'quick', 'json', 'help'].map((name) => `--${name}`).join(', ')}`;
}

function longFlag(flags: string): string {
  return /--[a-z][a-z-]*/.exec(flags)![0];
}

const LINE = 110;

/** A text in lines of a terminal. */
function wrapped(text: string): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    if (lines.at(-1)!.length + word.length >= LINE) lines.push('');
    lines[lines.length - 1] += lines.at(-1) === '' ? word : ` ${word}`;
  }
  return lines;
}

function shown(value: unknown): string {
  return value === true ? '' : Array.isArray(value) ? value.join(',') : String(value);
}

function withDefault(text: string, fallback: unknown): string {
  const isNothing = fallback === undefined || fallback === false || (Array.isArray(fallback) && fallback.length === 0);
  return isNothing ? text : `${text} (default: ${shown(fallback)})`;
}

/** Several of something, separated by commas: `1,4`. */
export function list<T>(parse: Parser<T>): Parser<readonly T[]> {
  return (text, flag) => text.split(',').map((word) => parse(word, flag));
}

/** Throws TESSERA_USAGE for an unknown name. */
export function checkNames(flags: string, names: readonly string[], known: readonly string[]): void {
  for (const name of names) {
    if (known.includes(name)) continue;
    const close = nearest(name, known);
    throw usage(
      flags,
      name,
      close === undefined ? known.join(', ') : `one of ${known.join(', ')}; did you mean ${close}?`,
    );
  }
}

/** The folder of shared networks and pictures, for benchmarks that need it. */
export const dataOption = value(
  '--data <folder>',
  'shared networks and pictures; otherwise $TESSERA_DATA, or ../shared/data',
  string,
);

/** The folder that `dataOption` names. */
export function dataFolder(given: string | undefined): string {
  return given ?? process.env.TESSERA_DATA ?? '../shared/data';
}
