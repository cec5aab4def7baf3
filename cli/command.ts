import type { Setting } from '../shared/config/layers.ts';
import type { LoadedConfig } from '../shared/runtime/config.ts';
import type { OptionSpecs, Values } from './options.ts';
import type { Output } from './output.ts';

/** What a command is given when it runs. */
export interface Invocation<O extends OptionSpecs = OptionSpecs> {
  /** Positional arguments, in order. */
  readonly args: readonly string[];
  readonly options: Values<O>;
  /** `--json`: results are JSON, one value a line. */
  readonly json: boolean;
  readonly out: Output;
  /** Aborted by the first Ctrl-C or SIGTERM: stop gracefully and return. */
  readonly signal: AbortSignal;
  /** Loads the configuration, with what the command's own flags say on top; its warnings are printed. */
  config(flags?: readonly Setting[]): Promise<LoadedConfig>;
}

/** One command: its usage as data, and its action. */
export interface Command<O extends OptionSpecs = OptionSpecs> {
  /** Positional arguments as in usage lines: `<camera> <files...>`, `[name]`. */
  readonly arguments?: string;
  /** What the command is for, in whole sentences; the one-line summary is in commands.ts. */
  readonly description: string;
  readonly options: O;
  /** Command lines that work, without the leading `tessera`; each with what it does. */
  readonly examples: readonly (readonly [line: string, does: string])[];
  /** Resolves when done or stopped; throws TesseraError. A number is the exit code, else 0. */
  run(invocation: Invocation<O>): Promise<number | undefined>;
}

/**
 * Types a command by its options, for the writer of `run`; the list of commands sees them all as one type.
 * A command module exports one as `command` and imports heavy code inside `run`, so that its `--help` is instant.
 */
export function defineCommand<const O extends OptionSpecs>(command: Command<O>): Command {
  // Sound because main.ts makes the values from these very options.
  return command as unknown as Command;
}
