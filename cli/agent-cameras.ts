import { stat } from 'node:fs/promises';
import type { AgentCamera } from '../node-agent/agent.ts';
import { unreadable } from '../shared/camera/live/file-source.ts';
import { parseSource, SOURCES, type SourceName } from '../shared/camera/source-name.ts';
import { configuredSource, sourceSettings } from '../shared/camera/source-settings.ts';
import type { Config } from '../shared/config/schema.ts';
import { TesseraError } from '../shared/errors.ts';
import { isName } from '../shared/protocol/topics.ts';
import { hideUserInfo } from '../shared/redact.ts';

/** A camera on the command line: `NAME=SOURCE`. */
export interface NamedSource {
  readonly name: string;
  readonly source: SourceName;
}

/** Parses `NAME=SOURCE`. Throws TESSERA_USAGE. */
export function namedSource(text: string, flag: string): NamedSource {
  const at = text.indexOf('=');
  const name = text.slice(0, at);
  if (at > 0 && isName(name)) return { name, source: sourceOf(text.slice(at + 1), flag) };
  throw new TesseraError('TESSERA_USAGE', `${flag} ${hideUserInfo(text)}: expected NAME=SOURCE`, {
    hint: `a camera is named with 1 to 64 of A-Z, a-z, 0-9, _ and -; a source is ${SOURCES}, or - for standard input`,
  });
}

/** Parses a source. Throws TESSERA_USAGE. */
export function sourceOf(text: string, flag: string): SourceName {
  const source = parseSource(text);
  if (typeof source !== 'string') return source;
  throw new TesseraError('TESSERA_USAGE', `${flag} ${hideUserInfo(text)}: ${source}`, {
    hint: `a source is ${SOURCES}, or - for standard input`,
  });
}

/** Throws TESSERA_USAGE for a file or folder that does not exist. */
export async function checkSource(source: SourceName): Promise<void> {
  if (source.kind !== 'path') return;
  await stat(source.path).catch((cause) => {
    throw unreadable(source.path, cause);
  });
}

/**
 * The cameras that an agent reads: those of its command line, with what the configuration says of them, and those of
 * the configuration whose `node` it is. `fps`: of those on the command line. Throws TESSERA_USAGE.
 */
export async function agentCameras(
  given: readonly NamedSource[],
  fps: number | undefined,
  configured: Config['cameras'],
  node: string | undefined,
): Promise<AgentCamera[]> {
  const twice = given.find(({ name }, index) => given.findIndex((other) => other.name === name) < index);
  if (twice !== undefined)
    throw new TesseraError('TESSERA_USAGE', `--camera ${twice.name} is given twice`, {
      hint: 'name each camera once',
    });
  const [first, second] = given.filter(({ source }) => source.kind === 'stdin');
  if (second !== undefined)
    throw new TesseraError('TESSERA_USAGE', `--camera ${second.name}=- reads what camera ${first!.name} reads`, {
      hint: 'standard input is one camera: give the other one a named pipe',
    });
  for (const { source } of given) await checkSource(source);
  const own = Object.entries(configured).flatMap(([name, camera]) => {
    const settings = camera.node === node ? configuredSource(camera) : undefined;
    return settings === undefined || given.some((other) => other.name === name) ? [] : [{ name, settings }];
  });
  const named = given.map(({ name, source }) => {
    const settings = sourceSettings(source, configured[name] ?? {});
    return { name, settings: fps === undefined ? settings : { ...settings, fps } };
  });
  return [...named, ...own];
}

/** A camera of the configuration by its name, or NAME=SOURCE with what the configuration says of it. Throws TESSERA_USAGE. */
export function cameraOf(text: string, configured: Config['cameras']): AgentCamera {
  if (text.includes('=')) {
    const { name, source } = namedSource(text, '--camera');
    return { name, settings: sourceSettings(source, configured[name] ?? {}) };
  }
  const camera = Object.hasOwn(configured, text) ? configured[text] : undefined;
  const settings = camera && configuredSource(camera);
  if (settings !== undefined) return { name: text, settings };
  const names = Object.entries(configured).flatMap(([name, { source }]) => (source === undefined ? [] : [name]));
  throw new TesseraError(
    'TESSERA_USAGE',
    `--camera ${text}: the configuration has no camera of that name with a source`,
    {
      hint: names.length === 0 ? 'name one as NAME=SOURCE' : `it has ${names.join(', ')}; or name one as NAME=SOURCE`,
    },
  );
}
