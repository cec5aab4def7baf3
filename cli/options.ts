import { CODEC_FORMS, type CodecSpec, parseCodec } from '../shared/codec/spec.ts';
import type { Setting } from '../shared/config/layers.ts';
import { TesseraError } from '../shared/errors.ts';
import { readText } from '../shared/runtime/file.ts';
import { type Grid, parseGrid } from '../shared/tiling/grid.ts';

/**
 * One option of a command; its key among the options is the long flag in camel case (`--password-file`: passwordFile).
 */
export interface OptionSpec<T> {
  /** As in usage lines: `--fps <n>`, `--loop`. */
  readonly flags: string;
  readonly text: string;
  /** Absent for a switch. */
  readonly parse?: (text: string, flag: string) => T;
  readonly fallback?: T;
  /** May be given several times; the value is the list. */
  readonly repeated?: boolean;
}

/** The options of a command. */
export type OptionSpecs = Readonly<Record<string, OptionSpec<unknown>>>;

/** The values of options. */
export type Values<O extends OptionSpecs> = {
  readonly [K in keyof O]: O[K] extends OptionSpec<infer T> ? T : never;
};

/** Reads one kind of option value; throws TESSERA_USAGE. */
export type Parser<T> = (text: string, flag: string) => T;

/** An option without a value. */
export function flag(flags: string, text: string): OptionSpec<boolean> {
  return { flags, text, fallback: false };
}

/** An option with a value; undefined when not given. */
export function value<T = string>(flags: string, text: string, parse: Parser<T>): OptionSpec<T | undefined> {
  return { flags, text, parse };
}

/** An option with a value and a default, which help shows. */
export function valueOr<T>(flags: string, text: string, parse: Parser<T>, fallback: T): OptionSpec<T> {
  return { flags, text, parse, fallback };
}

/** An option that may be given several times. */
export function values<T>(flags: string, text: string, parse: Parser<T>): OptionSpec<readonly T[]> {
  return { flags, text, parse: parse as Parser<never>, fallback: [], repeated: true };
}

/** Any text but none. */
export const string: Parser<string> = (text, flag) => {
  if (text === '') throw usage(flag, text, 'some text');
  return text;
};

/** One of the words. */
export function oneOf<const T extends string>(...words: readonly T[]): Parser<T> {
  return (text, flag) => {
    const word = words.find((candidate) => candidate === text);
    if (word === undefined) throw usage(flag, text, words.join(' or '));
    return word;
  };
}

/** A whole number of at least `least`. */
export function integer(least: number, most = Number.MAX_SAFE_INTEGER): Parser<number> {
  return (text, flag) => {
    const number = Number(text);
    if (text.trim() === '' || !Number.isInteger(number) || number < least || number > most) {
      throw usage(flag, text, `a whole number from ${least}${most === Number.MAX_SAFE_INTEGER ? '' : ` to ${most}`}`);
    }
    return number;
  };
}

/** A grid: `2x4`, or `5,9x7,7` with sizes in cells of the map where the tile stage ends. */
export const gridOption: Parser<Grid> = (text, flag) => {
  try {
    return parseGrid(text);
  } catch (error) {
    if (!(error instanceof TesseraError)) throw error;
    throw usage(
      flag,
      text,
      'ROWSxCOLS such as 2x4, or sizes in cells of the feature map where tiling ends, such as 7,7x4,4,3,3',
    );
  }
};

/** A codec: `fp16`, `q8:channel`, `clip:0.2:2:4`. */
export const codecOption: Parser<CodecSpec> = (text, flag) => {
  try {
    return parseCodec(text);
  } catch (error) {
    if (!(error instanceof TesseraError)) throw error;
    throw usage(flag, text, CODEC_FORMS);
  }
};

/** A number above 0. */
export const positive: Parser<number> = (text, flag) => {
  const number = Number(text);
  if (!Number.isFinite(number) || number <= 0) throw usage(flag, text, 'a number above 0');
  return number;
};

/** A number above 0 and up to 1. */
export const share: Parser<number> = (text, flag) => {
  const number = Number(text);
  if (!(number > 0 && number <= 1)) throw usage(flag, text, 'a share such as 0.99, above 0 and at most 1');
  return number;
};

/** The required agreement of quantised results; the same option for every command that makes plans. */
export const agreementOption = value(
  '--agreement <share>',
  'quantise results as `tessera model calibrate` found for this agreement; default: models.agreement',
  share,
);

const UNIT_S: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
const MOST_S = 30 * 86_400;

/** A time such as 30m, 1h or 2d, at most 30 days, in seconds. */
export const duration: Parser<number> = (text, flag) => {
  const [, digits, unit] = /^(\d{1,7})([smhd])$/.exec(text) ?? [];
  const seconds = Number(digits) * (UNIT_S[unit ?? ''] ?? Number.NaN);
  if (!(seconds > 0 && seconds <= MOST_S)) throw usage(flag, text, 'a time such as 30m, 1h or 2d, at most 30d');
  return seconds;
};

/** The options of every command that talks to a broker. */
export const connectionOptions = {
  broker: value('--broker <url>', 'broker to connect to, such as mqtt://192.168.1.10:1883', string),
  user: value('--user <name>', 'user name at the broker', string),
  passwordFile: value('--password-file <file>', 'file that holds the password', string),
};

/**
 * The strongest layer of the configuration, from the connection options. Throws TESSERA_USAGE for an unreadable file.
 */
export async function connectionSettings(options: Values<typeof connectionOptions>): Promise<Setting[]> {
  const settings: Setting[] = [];
  if (options.broker !== undefined) settings.push(flagSetting('mqtt.server', '--broker', brokerUrl(options.broker)));
  if (options.user !== undefined) settings.push(flagSetting('mqtt.user', '--user', options.user));
  if (options.passwordFile !== undefined) {
    settings.push(flagSetting('mqtt.password', '--password-file', await readPassword(options.passwordFile)));
  }
  return settings;
}

/** One setting that a flag makes; `path` is dotted. */
export function flagSetting(path: string, flag: string, value: unknown): Setting {
  return { path: path.split('.'), value, origin: `flag ${flag}` };
}

/** `HOST` and `HOST:PORT` are taken for mqtt://. */
function brokerUrl(text: string): string {
  return text.includes('://') ? text : `mqtt://${text}`;
}

async function readPassword(file: string): Promise<string> {
  try {
    return (await readText(file)).replace(/[\r\n]+$/, '');
  } catch (error) {
    throw new TesseraError('TESSERA_USAGE', `--password-file ${file} cannot be read: ${(error as Error).message}`, {
      hint: 'name a file that holds the password and nothing else',
      cause: error,
    });
  }
}

/** A usage error for one option. */
export function usage(flag: string, text: string, accepted: string): TesseraError {
  const name = /--[a-z-]+/.exec(flag)?.[0] ?? flag;
  return new TesseraError('TESSERA_USAGE', `${name} is ${JSON.stringify(text)}`, { hint: `expected ${accepted}` });
}
