import { X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { resolveConfig, type Setting } from '../../shared/config/layers.ts';
import { type Config, PATH_KEYS } from '../../shared/config/schema.ts';
import { type Failure, TesseraError } from '../../shared/errors.ts';
import type { LoadedConfig } from '../../shared/runtime/config.ts';
import { readText } from '../../shared/runtime/file.ts';
import { listModels } from '../library/library.ts';
import { modelFolders } from '../models.ts';
import type { ConfigurationFacts, NamedFile } from './configuration.ts';

/** The findings, and the configuration for later checks. */
export interface ConfigurationLook {
  readonly facts: ConfigurationFacts;
  readonly loaded: LoadedConfig;
}

/**
 * Loads the configuration by `load`. One that is wrong is a finding; what follows goes on with the defaults and the
 * flags.
 */
export async function lookAtConfiguration(
  load: () => Promise<LoadedConfig>,
  flags: readonly Setting[],
): Promise<ConfigurationLook> {
  const now = Date.now() / 1000;
  const nothing = { file: undefined, failures: [], warnings: [], files: [], unknownModels: [], now };
  try {
    const loaded = await load();
    const { config, file, warnings } = loaded;
    const files = await filesOf(config);
    return {
      facts: { ...nothing, file, warnings, files, unknownModels: await unknownModels(config) },
      loaded,
    };
  } catch (error) {
    if (!(error instanceof TesseraError)) throw error;
    const loaded = { ...resolveConfig([flags]), file: undefined, warnings: [] };
    return { facts: { ...nothing, failures: failuresOf(error) }, loaded };
  }
}

/** All faults: an error may have further ones as its cause. */
function failuresOf(error: TesseraError): Failure[] {
  const others = Array.isArray(error.cause) ? error.cause.filter((one) => one instanceof TesseraError) : [];
  return [error, ...others].map((one) => one.toFailure());
}

async function filesOf(config: Config): Promise<NamedFile[]> {
  const files = PATH_KEYS.filter((key) => key !== 'models.dir').flatMap((key) => {
    const [section, name] = key.split('.') as [keyof Config, string];
    const path = (config[section] as Record<string, unknown>)[name];
    return typeof path === 'string' ? [{ key, path }] : [];
  });
  return Promise.all(files.map(({ key, path }) => lookAtFile(key, path)));
}

async function lookAtFile(key: string, path: string): Promise<NamedFile> {
  const isKey = key.endsWith('key');
  const named = { key, path, isKey, mode: undefined, endsAt: undefined };
  try {
    const text = await readText(path);
    const mode = process.platform === 'win32' ? undefined : (await stat(path)).mode & 0o7777;
    if (!text.includes('-----BEGIN ')) return { ...named, problem: 'it is no PEM file (no line with -----BEGIN)' };
    const endsAt = isKey ? undefined : Date.parse(new X509Certificate(text).validTo) / 1000;
    return { ...named, problem: undefined, mode, endsAt };
  } catch (error) {
    return { ...named, problem: (error as Error).message };
  }
}

async function unknownModels(config: Config): Promise<{ camera: string; model: string }[]> {
  const wanted = Object.entries(config.cameras).flatMap(([camera, { models }]) =>
    models.map((model) => ({ camera, model })),
  );
  if (wanted.length === 0) return [];
  const known = new Set((await listModels(modelFolders(config))).map(({ name }) => name));
  return wanted.filter(({ model }) => !known.has(model));
}
