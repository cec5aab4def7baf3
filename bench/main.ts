import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { failureOf } from '../shared/errors.ts';
import { nearest } from '../shared/nearest.ts';
import type { Benchmark } from './harness/benchmark.ts';

/*
 * `npm run bench -- NAME [--quick] [--json] [options]`: runs one benchmark, a file of this folder that exports what
 * `defineBenchmark` makes. With `--json` the last line printed is one JSON object whose `pass` says whether the
 * benchmark's own target is met. Exit code 0 when it is, 1 when it is not or the benchmark fails, 2 for wrong usage.
 */

async function load(name: string): Promise<Benchmark | undefined> {
  const module = (await import(`./${name}.js`)) as Partial<Benchmark>;
  return typeof module.run === 'function' && typeof module.usage === 'function' ? (module as Benchmark) : undefined;
}

async function names(): Promise<string[]> {
  const files = await readdir(new URL('.', import.meta.url));
  return files
    .filter((file) => file.endsWith('.js') && file !== 'main.js')
    .map((file) => basename(file, '.js'))
    .sort();
}

async function list(): Promise<void> {
  console.log('npm run bench -- NAME [--quick] [--json] [options]; npm run bench -- NAME --help lists its options\n');
  for (const name of await names()) {
    const benchmark = await load(name).catch((error: unknown) => ({ description: `cannot be loaded: ${error}` }));
    if (benchmark !== undefined) console.log(`  ${name.padEnd(16)}${benchmark.description ?? ''}`);
  }
}

async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h') {
    await list();
    return 0;
  }
  const known = await names();
  const benchmark = known.includes(name) ? await load(name) : undefined;
  if (benchmark === undefined) {
    const close = nearest(name, known);
    console.error(`error TESSERA_USAGE: there is no benchmark ${JSON.stringify(name)}`);
    console.error(`hint: ${close === undefined ? '`npm run bench` lists them' : `did you mean ${close}?`}`);
    return 2;
  }
  if (rest.some((word) => word === '--help' || word === '-h')) {
    console.log(benchmark.usage(name));
    return 0;
  }
  const json = rest.includes('--json');
  try {
    const result = await benchmark.run(rest);
    console.log(json ? JSON.stringify(result) : result.pass ? 'passed' : 'not passed');
    return result.pass ? 0 : 1;
  } catch (error) {
    const { code, message, hint } = failureOf(error);
    console.error(`error ${code}: ${message}${hint === undefined ? '' : `\nhint: ${hint}`}`);
    if (code === 'TESSERA_INTERNAL' && error instanceof Error) console.error(error.stack);
    if (json) console.log(JSON.stringify({ pass: false, error: { code, message, hint } }));
    return code === 'TESSERA_USAGE' ? 2 : 1;
  }
}

const code = await main(process.argv.slice(2));
process.stdout.write('', () => process.exit(code));
