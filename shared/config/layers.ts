import { TesseraError } from '../errors.ts';
import { nearest } from '../nearest.ts';
import { hideUserInfo } from '../redact.ts';
import { z } from '../schema.ts';
import { otherWords } from './other-words.ts';
import { type Config, configSchema, SECRET_KEYS } from './schema.ts';
import { accepted, meaning, urlHint } from './value-hints.ts';

/**
 * Configuration in layers: defaults < file < environment < flags. A layer is a list of settings, one per key; later
 * layers win key by key, lists are replaced as a whole. Nothing here reads a file or the environment.
 */

/** One value of one key, with its origin. */
export interface Setting {
  readonly path: readonly string[];
  readonly value: unknown;
  /** For display: `file tessera.yaml`, `environment TESSERA_MQTT__USER`, `flag --broker`. */
  readonly origin: string;
}

/** A configuration with the origin of every value, by dotted path; unset keys have the origin `default`. */
export interface ResolvedConfig {
  readonly config: Config;
  readonly origins: ReadonlyMap<string, string>;
}

/**
 * Merges layers, the strongest last, and validates. Throws TesseraError TESSERA_CONFIG with key, origin and accepted
 * values; where more than one value is wrong, `cause` is the list of the other errors.
 */
export function resolveConfig(layers: readonly (readonly Setting[])[]): ResolvedConfig {
  const tree: Record<string, unknown> = {};
  const said = new Map<string, string>();
  for (const { path, value, origin } of layers.flat()) {
    let level = tree;
    for (const key of path.slice(0, -1)) {
      if (!Object.hasOwn(level, key)) level[key] = {};
      level = level[key] as Record<string, unknown>;
    }
    level[path.at(-1)!] = value;
    said.set(path.join('.'), origin);
  }
  const result = configSchema.safeParse(tree);
  if (!result.success) {
    const [first, ...others] = result.error.issues.map((issue) => invalid(issue, tree, said));
    const { message, hint } = first!;
    throw new TesseraError('TESSERA_CONFIG', message, {
      ...(hint === undefined ? {} : { hint }),
      ...(others.length === 0 ? {} : { cause: others }),
    });
  }
  const origins = new Map(leaves(result.data).map((path) => [path, said.get(path) ?? 'default']));
  return { config: result.data, origins };
}

/**
 * The settings of a parsed configuration file. `null` (a key without a value) counts as unset. Throws TESSERA_CONFIG
 * for an unknown key, naming the nearest one, and where a section is not a mapping.
 */
export function settingsOfTree(tree: unknown, origin: string): Setting[] {
  const settings: Setting[] = [];
  const walk = (schema: z.ZodType, value: unknown, path: readonly string[]): void => {
    if (value === null || value === undefined) {
      if (isCamera(path)) settings.push({ path, value: {}, origin });
      return;
    }
    if (!isSection(schema)) {
      settings.push({ path, value, origin });
      return;
    }
    if (typeof value !== 'object' || Array.isArray(value)) {
      throw new TesseraError('TESSERA_CONFIG', `${origin}: ${path.join('.') || 'the file'} is ${show(value)}`, {
        hint: hideUserInfo(sectionHint(path, value, schema)),
      });
    }
    if (isCamera(path)) settings.push({ path, value: {}, origin });
    for (const [key, below] of Object.entries(value)) {
      const child = childOf(schema, key);
      if (child === undefined) throw unknownKey([...path, key], schema, origin);
      walk(child, below, [...path, key]);
    }
  };
  walk(configSchema, tree, []);
  return settings;
}

/** A hint for a section that has a value instead of keys: an example with that value. */
function sectionHint(path: readonly string[], value: unknown, schema: z.ZodType): string {
  const names = (Array.isArray(value) ? value : [value]).filter((one) => typeof one === 'string');
  const [first] = names;
  if (path.join('.') === 'cameras' && first !== undefined)
    return `cameras are listed by name: write cameras: { ${names.map((name) => `${name}: {}`).join(', ')} }`;
  if (path.join('.') === 'log' && first !== undefined) return `expected keys below it: write log: { level: ${first} }`;
  if (path.join('.') === 'mqtt' && first !== undefined)
    return `expected keys below it: write mqtt: { server: ${urlHint(first)?.replace('write ', '') ?? 'mqtt://HOST:1883'} }`;
  return `expected keys below it: ${keysOf(schema).join(', ') || 'name: {...}'}`;
}

/**
 * The meaning of an environment variable: a setting, a file to read the value from, or a variable that is not
 * Tessera's.
 */
export type VariableMeaning =
  | { readonly kind: 'value'; readonly path: readonly string[]; readonly text: boolean }
  | { readonly kind: 'file'; readonly path: readonly string[]; readonly text: boolean }
  | { readonly kind: 'other'; readonly suggestion: string | undefined };

/** Variables that other code reads. */
const RESERVED = ['TESSERA_CONFIG', 'TESSERA_DATA'];

/**
 * Parses the name of an environment variable: `TESSERA_MQTT__PASSWORD` is mqtt.password, `..._FILE` names a file with
 * the value. `text`: the key takes a string, so the value is not parsed. An unknown name with a double underscore
 * throws TESSERA_CONFIG; one without is `other`, because Kubernetes sets TESSERA_PORT and similar variables for a
 * service of that name. `cameras` are those of the file, since the environment cannot express upper case.
 */
export function meaningOfVariable(name: string, cameras: readonly string[]): VariableMeaning {
  if (!name.startsWith('TESSERA_') || RESERVED.includes(name)) return { kind: 'other', suggestion: undefined };
  const words = name.slice('TESSERA_'.length).toLowerCase().split('__');
  const path = words.map((word, level) =>
    level === 1 && words[0] === 'cameras' ? (cameras.find((camera) => camera.toLowerCase() === word) ?? word) : word,
  );
  const leaf = leafAt(path);
  if (leaf !== undefined) return { kind: 'value', path, text: takesText(leaf) };
  const last = path.at(-1)!;
  if (last.endsWith('_file')) {
    const plain = [...path.slice(0, -1), last.slice(0, -'_file'.length)];
    const plainLeaf = leafAt(plain);
    if (plainLeaf !== undefined) return { kind: 'file', path: plain, text: takesText(plainLeaf) };
  }
  if (words.length === 1) return { kind: 'other', suggestion: meantByUnderscores(name) };
  const other = otherWords(path) ?? otherWords(path.slice(0, 1));
  const close = other?.key === undefined ? nearest(name, allVariables()) : variableOf(other.key.split('.'));
  throw new TesseraError('TESSERA_CONFIG', `environment: ${name} names no key of the configuration`, {
    hint:
      other !== undefined && other.key === undefined
        ? other.hint
        : close === undefined
          ? '`tessera schema config` lists every key; a section and its key are joined by two underscores'
          : `did you mean ${close}?`,
  });
}

/** Dotted paths of all values of a configuration, in the order of the schema. */
export function leaves(config: object, prefix = ''): string[] {
  return Object.entries(config).flatMap(([key, value]) => {
    if (value === undefined) return [];
    const path = `${prefix}${key}`;
    const nested =
      typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0;
    return nested ? leaves(value, `${path}.`) : [path];
  });
}

/** The schema without wrappers that only add defaults. */
function bare(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault || inner instanceof z.ZodOptional) {
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

function isSection(schema: z.ZodType): boolean {
  const inner = bare(schema);
  return inner instanceof z.ZodObject || inner instanceof z.ZodRecord;
}

function isCamera(path: readonly string[]): boolean {
  return path.length === 2 && path[0] === 'cameras';
}

function childOf(schema: z.ZodType, key: string): z.ZodType | undefined {
  const inner = bare(schema);
  if (inner instanceof z.ZodRecord) return inner.valueType as z.ZodType;
  if (inner instanceof z.ZodObject && Object.hasOwn(inner.shape, key)) return inner.shape[key] as z.ZodType;
  return undefined;
}

function keysOf(schema: z.ZodType): string[] {
  const inner = bare(schema);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
}

function leafAt(path: readonly string[]): z.ZodType | undefined {
  let schema: z.ZodType | undefined = configSchema;
  for (const key of path) schema = schema === undefined ? undefined : childOf(schema, key);
  return schema === undefined || isSection(schema) ? undefined : schema;
}

function takesText(schema: z.ZodType): boolean {
  const inner = bare(schema);
  return inner instanceof z.ZodString || inner instanceof z.ZodEnum;
}

function allPaths(schema: z.ZodType = configSchema, prefix: readonly string[] = []): string[][] {
  return keysOf(schema).flatMap((key) => {
    const path = [...prefix, key];
    const child = childOf(schema, key)!;
    return isSection(child) ? allPaths(child, path) : [path];
  });
}

function allVariables(): string[] {
  return allPaths().map((path) => `TESSERA_${path.join('__').toUpperCase()}`);
}

function variableOf(path: readonly string[]): string {
  return `TESSERA_${path.join('__').toUpperCase()}`;
}

/** The intended variable where section and key are joined by one underscore, or the section is missing. */
function meantByUnderscores(name: string): string | undefined {
  const suffix = name.endsWith('_FILE') ? '_FILE' : '';
  for (const own of suffix === '' ? [name] : [name, name.slice(0, -suffix.length)]) {
    const known = allVariables().find((variable) => variable.replaceAll('__', '_') === own);
    if (known !== undefined) return own === name ? known : `${known}${suffix}`;
    const [section = '', ...rest] = own.slice('TESSERA_'.length).toLowerCase().split('_');
    const paths = rest.length === 0 ? [[section]] : [[section, rest.join('_')], [[section, ...rest].join('_')]];
    // Kubernetes sets TESSERA_PORT and similar variables for a service of that name.
    const key = paths.map((path) => otherWords(path)?.key).find((found) => found !== undefined);
    if (key !== undefined && !/_(PORT|HOST)$/.test(own) && own !== 'TESSERA_PORT' && !key.startsWith('cameras'))
      return `${variableOf(key.split('.'))}${suffix}`;
  }
  return undefined;
}

function unknownKey(path: readonly string[], section: z.ZodType, origin: string): TesseraError {
  const key = path.at(-1)!;
  const where = path.slice(0, -1).join('.');
  const here = keysOf(section);
  const close = nearest(key, here);
  const elsewhere = allPaths().find((other) => other.at(-1) === key);
  const other = otherWords(path);
  const hint =
    other !== undefined
      ? other.hint
      : close !== undefined
        ? `did you mean ${[...path.slice(0, -1), close].join('.')}?`
        : elsewhere !== undefined
          ? `did you mean ${elsewhere.join('.')}?`
          : `${where || 'the file'} has the keys ${here.join(', ')}`;
  return new TesseraError('TESSERA_CONFIG', `${origin}: unknown key ${path.join('.')}`, { hint });
}

function invalid(issue: z.core.$ZodIssue, tree: object, said: ReadonlyMap<string, string>): TesseraError {
  const path = issue.path.map(String);
  let value: unknown = tree;
  for (const key of path) value = (value as Record<string, unknown> | undefined)?.[key];
  const keys = path.map((_, end) => path.slice(0, end + 1).join('.'));
  const origin = keys.map((key) => said.get(key)).findLast((found) => found !== undefined);
  const isSecret = SECRET_KEYS.includes(path.join('.'));
  const shown = issue.code === 'invalid_key' ? '' : isSecret ? ' is not what is expected' : ` is ${show(value)}`;
  const takes = accepted(issue);
  const meant = meaning(issue, path, value, isSecret);
  return new TesseraError('TESSERA_CONFIG', `${origin ?? 'configuration'}: ${path.join('.')}${shown}`, {
    hint: meant === undefined ? takes : `${takes}; ${hideUserInfo(meant)}`,
  });
}

function show(value: unknown): string {
  const json = hideUserInfo(JSON.stringify(value) ?? String(value));
  return json.length > 60 ? `${json.slice(0, 57)}...` : json;
}
