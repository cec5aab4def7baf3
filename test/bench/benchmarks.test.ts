import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { type Benchmark, checkNames, defineBenchmark, list, parseOptions } from '../../bench/harness/benchmark.ts';
import { flag, integer, oneOf, string, value, valueOr, values } from '../../cli/options.ts';

const files = (await readdir('bench')).filter((file) => file.endsWith('.ts') && file !== 'main.ts').sort();
const modules = await Promise.all(
  files.map(async (file) => [file, (await import(`../../bench/${file}`)) as Partial<Benchmark>] as const),
);
const benchmarks = modules.filter((entry): entry is [string, Benchmark] => typeof entry[1].run === 'function');

describe('every benchmark', () => {
  it('is found', () => {
    expect(benchmarks.length).toBeGreaterThanOrEqual(12);
  });

  it.each(benchmarks)(
    '%s says what it asks, what it needs, what it does not measure, and what --quick does',
    (_, { usage, description }) => {
      expect(description).toMatch(/^[a-z].*\?$/);
      const help = usage('NAME');
      expect(help).toMatch(/^npm run bench -- NAME \[options\]\n/);
      for (const part of ['Needs: ', 'Not measured: ', '\nOptions:\n', '  --quick ', '  --json ', '  -h, --help '])
        expect(help).toContain(part);
      for (const line of help.split('\n')) expect(line.length).toBeLessThanOrEqual(200);
    },
  );

  it.each(benchmarks)('%s refuses an option that it does not know, before it does anything', async (_, { run }) => {
    await expect(run(['--quikc'])).rejects.toMatchObject({ code: 'TESSERA_USAGE', hint: 'did you mean --quick?' });
    await expect(run(['rubbish'])).rejects.toMatchObject({ code: 'TESSERA_USAGE' });
  });
});

describe('options of a benchmark', () => {
  const specs = {
    frames: valueOr('--frames <n>', 'frames', integer(1), 200),
    warmUp: value('--warm-up <s>', 'seconds', integer(1)),
    nodes: valueOr('--nodes <list>', 'nodes', list(integer(1, 64)), [1, 2]),
    kind: valueOr('--kind <kind>', 'kind', oneOf('a', 'b'), 'a'),
    target: values('--target <name>', 'only this', string),
    full: flag('--full', 'all'),
  };
  const quick = { frames: 20, full: true } as const;
  const usual = { frames: 200, warmUp: undefined, nodes: [1, 2], kind: 'a', target: [], full: false };

  it.each([
    [[], usual],
    [['--json'], usual],
    [['--warm-up', '3', '--nodes=4,8'], { ...usual, warmUp: 3, nodes: [4, 8] }],
    [['--target', 'x', '--target', 'y'], { ...usual, target: ['x', 'y'] }],
    [['--quick'], { ...usual, ...quick }],
    [['--quick', '--frames', '7'], { ...usual, ...quick, frames: 7 }],
    [['--frames', '7', '--quick'], { ...usual, ...quick, frames: 7 }],
  ])('%j: a given option goes before the value of --quick, and that before the default', (args, expected) => {
    expect(parseOptions(specs, args, quick)).toEqual(expected);
  });

  it.each([
    [['--frmaes', '3'], 'there is no option --frmaes', 'did you mean --frames?'],
    [
      ['-x'],
      'there is no option -x',
      'options are --frames, --warm-up, --nodes, --kind, --target, --full, --quick, --json, --help',
    ],
    [['--frames'], '--frames has no value', 'expected --frames <n>'],
    [['--frames', '--full'], '--frames has no value', 'expected --frames <n>'],
    [['--frames', 'many'], '--frames is "many"', 'expected a whole number from 1'],
    [['--frames=0'], '--frames is "0"', 'expected a whole number from 1'],
    [['--nodes', '1,,2'], '--nodes is ""', 'expected a whole number from 1 to 64'],
    [['--kind', 'c'], '--kind is "c"', 'expected a or b'],
    [['--full=no'], '--full is "no"', 'expected no value'],
    [['all'], '"all" belongs to no option', expect.stringContaining('options are')],
  ])('%j is refused, with a hint', (args, message, hint) => {
    let error: unknown;
    try {
      parseOptions(specs, args, quick);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'TESSERA_USAGE', message, hint });
  });

  it('an unknown name is refused, with the nearest known one', () => {
    expect(() => checkNames('--networks', ['scenes'], ['scenes', 'mnist-8'])).not.toThrow();
    expect(() => checkNames('--networks', ['scenes', 'mnist8'], ['scenes', 'mnist-8'])).toThrow(
      expect.objectContaining({ code: 'TESSERA_USAGE', hint: expect.stringContaining('did you mean mnist-8?') }),
    );
  });

  it('says in its help what --quick stands for and what the defaults are', () => {
    const { usage } = defineBenchmark({
      question: 'how long?',
      method: 'It waits.',
      notMeasured: 'patience.',
      options: specs,
      quick,
      run: async () => ({ pass: true }),
    });
    expect(usage('wait')).toContain('--frames <n>     frames (default: 200)\n');
    expect(usage('wait')).toContain('--quick          an answer in under 50 s, less sure: --frames 20 --full\n');
  });
});
