import { dirname, isAbsolute, resolve } from 'node:path';
import { parseSource } from '../camera/source-name.ts';
import {
  meaningOfVariable,
  type ResolvedConfig,
  resolveConfig,
  type Setting,
  settingsOfTree,
} from '../config/layers.ts';
import { PATH_KEYS } from '../config/schema.ts';
import { TesseraError } from '../errors.ts';
import { readText } from './file.ts';
import { parseYaml } from './yaml.ts';

/** The sources of a configuration. */
export interface ConfigSources {
  /** The file of `--config`: it must exist. */
  readonly file?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Settings from flags, the strongest layer. */
  readonly flags?: readonly Setting[];
  /** Folder that relative paths start from; the working directory. */
  readonly cwd?: string;
}

/** A configuration, its file, and warnings. */
export interface LoadedConfig extends ResolvedConfig {
  readonly file: string | undefined;
  readonly warnings: readonly string[];
}

/** Paths that are tried where none is named. */
const PLACES = ['tessera.yaml', '/etc/tessera/tessera.yaml'];

/**
 * Loads the configuration: defaults < file < environment < flags. The file is `--config`, else $TESSERA_CONFIG, else
 * ./tessera.yaml, else /etc/tessera/tessera.yaml; none is fine. Throws TesseraError TESSERA_CONFIG.
 */
export async function loadConfig(sources: ConfigSources = {}): Promise<LoadedConfig> {
  const env = sources.env ?? process.env;
  const cwd = sources.cwd ?? process.cwd();
  const found = await findFile(sources.file, env, cwd);
  const tree = found === undefined ? {} : parseYaml(found.text, found.path, 'TESSERA_CONFIG');
  const fileSettings =
    found === undefined
      ? []
      : settingsOfTree(tree, `file ${found.path}`).map((one) => anchored(one, dirname(found.path)));
  const cameras = fileSettings.flatMap(({ path }) => (path[0] === 'cameras' && path.length > 1 ? [path[1]!] : []));
  const warnings: string[] = [];
  const envSettings = await settingsOfEnvironment(env, cameras, cwd, warnings);
  const resolved = resolveConfig([fileSettings, envSettings, sources.flags ?? []]);
  return { ...resolved, file: found?.path, warnings };
}

async function findFile(
  flag: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): Promise<{ path: string; text: string } | undefined> {
  const named = flag ?? (env.TESSERA_CONFIG === '' ? undefined : env.TESSERA_CONFIG);
  const who = flag === undefined ? '$TESSERA_CONFIG' : '--config';
  for (const place of named === undefined ? PLACES : [named]) {
    const path = resolve(cwd, place);
    try {
      return { path, text: await readText(path) };
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (missing && named === undefined) continue;
      throw new TesseraError('TESSERA_CONFIG', `${path} cannot be read: ${(error as Error).message}`, {
        hint:
          named === undefined ? 'fix its permissions, or name another file with --config' : `${who} names this file`,
        cause: error,
      });
    }
  }
  return undefined;
}

async function settingsOfEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  cameras: readonly string[],
  cwd: string,
  warnings: string[],
): Promise<Setting[]> {
  const settings = new Map<string, Setting>();
  for (const [name, value] of Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (value === undefined) continue;
    const meaning = meaningOfVariable(name, cameras);
    if (meaning.kind === 'other') {
      if (meaning.suggestion !== undefined) warnings.push(`${name} is ignored; did you mean ${meaning.suggestion}?`);
      continue;
    }
    const key = meaning.path.join('.');
    const before = settings.get(key);
    if (before !== undefined) {
      throw new TesseraError('TESSERA_CONFIG', `${before.origin} and ${name} both set ${key}`, { hint: 'keep one' });
    }
    const text = meaning.kind === 'file' ? await readSecret(name, resolve(cwd, value)) : value;
    const parsed = meaning.text ? text : parseYaml(text, `environment ${name}`, 'TESSERA_CONFIG');
    settings.set(key, { path: meaning.path, value: parsed, origin: `environment ${name}` });
  }
  return [...settings.values()];
}

/** The content of a `_FILE` variable's file, without the line ends that editors and secret stores add. */
async function readSecret(name: string, path: string): Promise<string> {
  try {
    return (await readText(path)).replace(/[\r\n]+$/, '');
  } catch (error) {
    throw new TesseraError('TESSERA_CONFIG', `${name} names ${path}, which cannot be read`, {
      hint:
        (error as NodeJS.ErrnoException).code === 'ENOENT'
          ? `there is no such file: make it, or unset ${name}`
          : (error as Error).message,
      cause: error,
    });
  }
}

function isPath(path: readonly string[], value: string): boolean {
  if (PATH_KEYS.includes(path.join('.'))) return true;
  const source = path[0] === 'cameras' && path[2] === 'source' ? parseSource(value) : undefined;
  return typeof source === 'object' && source.kind === 'path';
}

/** A path in the configuration file is relative to that file's folder, wherever the program is started. */
function anchored(setting: Setting, folder: string): Setting {
  if (typeof setting.value !== 'string' || !isPath(setting.path, setting.value)) return setting;
  return isAbsolute(setting.value) ? setting : { ...setting, value: resolve(folder, setting.value) };
}
