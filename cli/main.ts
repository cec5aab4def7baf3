#!/usr/bin/env node
import { Command as Commander, CommanderError, Option } from 'commander';
import { failureOf, TesseraError } from '../shared/errors.ts';
import { endProcess } from '../shared/runtime/native-calls.ts';
import { storageError, systemCodeOf } from '../shared/storage-fault.ts';
import type { Command, Invocation } from './command.ts';
import { COMMANDS, type Entry, GROUPS } from './commands.ts';
import type { OptionSpec } from './options.ts';
import { failureLines, type Output, standardOutput } from './output.ts';
import { thisCommand } from './own-command.ts';
import { stopSignal } from './signals.ts';

/** Exit codes: public surface. */
const EXIT = { ok: 0, failure: 1, usage: 2, interrupted: 130 } as const;

const SELF_TEST = '--self-test';

/** Runs one command line and returns the exit code. Never throws. */
async function main(words: readonly string[], out: Output): Promise<number> {
  let exitCode: number = EXIT.ok;
  try {
    const program = await buildProgram(words, out, (code) => {
      exitCode = code;
    });
    if (words[0] === SELF_TEST) return await testItself(words, out);
    if (words.length === 0) {
      process.stderr.write(program.helpInformation());
      return EXIT.usage;
    }
    await program.parseAsync(words, { from: 'user' });
    return exitCode;
  } catch (error) {
    return report(error, out);
  }
}

/** `tessera --self-test`: what a new version has to pass on the machine that shall run it. */
async function testItself(words: readonly string[], out: Output): Promise<number> {
  const { selfTest } = await import('./self-test.ts');
  const found = await selfTest();
  if (words.includes('--json')) out.json(found);
  else
    out.line(
      `passed: ${found.right} of ${found.of} scenes named right in ${found.took_ms} ms; tessera ${found.version}, ` +
        `${found.runtime}, Node ${found.node}, ${found.platform}`,
    );
  return EXIT.ok;
}

/** All commands by name; only the one that `words` names is loaded and gets its options. */
async function buildProgram(words: readonly string[], out: Output, onExit: (code: number) => void): Promise<Commander> {
  const program = new Commander('tessera')
    .description('Runs one convolutional network on many small computers over MQTT.')
    .usage('<command> [--config FILE] [--json]')
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .helpOption('-h, --help', 'show help; `tessera <command> --help` shows options and examples')
    .helpCommand(false);
  addGlobals(program);
  const { packageVersion } = await import('../shared/runtime/version.ts');
  program.version(packageVersion(), '-V, --version', 'show the version');
  program.option(SELF_TEST, 'run the bundled model once, as an agent would, and check its answers');
  const named = nameOf(words);
  const stubs = new Map<string, Commander>([['', program]]);
  for (const entry of COMMANDS) {
    const [last, ...group] = entry.name.split(' ').reverse();
    const parent = group.length === 0 ? program : groupOf(program, stubs, group[0]!);
    const stub = parent
      .command(last!)
      .description(entry.summary)
      .helpCommand(false)
      .helpOption('-h, --help', 'show this help');
    stubs.set(entry.name, stub);
    if (entry === named) configure(stub, (await entry.load()).command, out, onExit);
  }
  return program;
}

function groupOf(program: Commander, stubs: Map<string, Commander>, name: string): Commander {
  const known = stubs.get(name);
  if (known !== undefined) return known;
  const group = program
    .command(name)
    .description(GROUPS[name] ?? '')
    .helpCommand(false);
  stubs.set(name, group);
  return group;
}

/** The longest command name in the words before the first option; options of the program may come before it. */
function nameOf(words: readonly string[]): Entry | undefined {
  const plain: string[] = [];
  for (let i = 0; i < words.length && plain.length < 2; i++) {
    if (words[i] === '--config') i++;
    else if (!words[i]!.startsWith('-')) plain.push(words[i]!);
    else if (plain.length > 0) break;
  }
  const find = (name: string): Entry | undefined => COMMANDS.find((entry) => entry.name === name);
  return find(plain.join(' ')) ?? find(plain[0] ?? '');
}

function configure(stub: Commander, command: Command, out: Output, onExit: (code: number) => void): void {
  stub.description(command.description);
  if (command.arguments !== undefined) stub.arguments(command.arguments);
  for (const spec of Object.values(command.options)) stub.addOption(optionOf(spec));
  addGlobals(stub);
  const own = thisCommand();
  const examples = command.examples.map(([line, does]) => `  $ ${own} ${line}\n      ${does}`);
  stub.addHelpText('after', `\nExamples:\n${examples.join('\n')}`);
  stub.action(async () => {
    onExit((await command.run(invocationOf(stub, command, out))) ?? EXIT.ok);
  });
}

function addGlobals(command: Commander): void {
  command.option(
    '--config <file>',
    'configuration file; else $TESSERA_CONFIG, ./tessera.yaml, /etc/tessera/tessera.yaml',
  );
  command.option('--json', 'print results as JSON, one value a line');
}

function optionOf(spec: OptionSpec<unknown>): Option {
  const option = new Option(spec.flags, spec.text);
  const { parse, fallback, repeated } = spec;
  if (repeated === true) {
    option.argParser((text, before) => [...((before as unknown[] | undefined) ?? []), parse!(text, spec.flags)]);
  } else if (parse !== undefined) {
    option.argParser((text) => parse(text, spec.flags));
    if (fallback !== undefined) option.default(fallback);
  }
  return option;
}

function invocationOf(stub: Commander, command: Command, out: Output): Invocation {
  const given = stub.optsWithGlobals<Record<string, unknown> & { config?: string; json?: boolean }>();
  const options = Object.entries(command.options).map(([key, spec]) => [key, given[key] ?? spec.fallback]);
  return {
    args: stub.args,
    options: Object.fromEntries(options) as Invocation['options'],
    json: given.json === true,
    out,
    signal: stopSignal(),
    async config(flags) {
      const { loadConfig } = await import('../shared/runtime/config.ts');
      const loaded = await loadConfig({ file: given.config, ...(flags === undefined ? {} : { flags }) });
      for (const warning of loaded.warnings) out.note(`warning: ${warning}`);
      return loaded;
    },
  };
}

/** The error for a full or failing disk or missing permissions, wherever it occurs; undefined for other errors. */
function storageFaultOf(error: unknown): TesseraError | undefined {
  const code = systemCodeOf(error) ?? '';
  const { path } = error as { path?: unknown };
  const isOfDisks = ['ENOSPC', 'EROFS', 'EDQUOT', 'EIO', 'EMFILE', 'ENFILE'].includes(code);
  if (!isOfDisks && !(['EACCES', 'EPERM'].includes(code) && typeof path === 'string')) return undefined;
  return storageError(error, typeof path === 'string' ? { what: 'the file', path } : { what: 'a file', path: '' });
}

/** Prints an error to standard error and returns its exit code. */
function report(error: unknown, out: Output): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.ok;
    const [first, ...rest] = error.message.replace(/^error: /, '').split('\n');
    const hint =
      rest.join(' ').replace(/^\(|\)$/g, '') || '`tessera --help` and `tessera <command> --help` show the usage';
    out.note(failureLines({ code: 'TESSERA_USAGE', message: first!, hint }));
    return EXIT.usage;
  }
  if (error instanceof Error && error.name === 'AbortError') return EXIT.interrupted;
  if (!(error instanceof TesseraError)) {
    const storage = storageFaultOf(error);
    if (storage !== undefined) return report(storage, out);
    out.note(error instanceof Error ? String(error.stack) : String(error));
    out.note(
      failureLines({ ...failureOf(error), hint: 'this is a fault of Tessera; please report it with the lines above' }),
    );
    return EXIT.failure;
  }
  out.note(failureLines(error.toFailure()));
  return error.code === 'TESSERA_USAGE' ? EXIT.usage : EXIT.failure;
}

const out = standardOutput();
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => endProcess(report(error, out)));
}
const code = await main(process.argv.slice(2), out);
// Flushes standard output, then ends the process even if a library holds a handle open.
process.stdout.write('', () => endProcess(code));
