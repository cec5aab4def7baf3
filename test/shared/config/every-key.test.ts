import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configSchema } from '../../../shared/config/schema.ts';
import { z } from '../../../shared/schema.ts';

/** A key that is accepted but not used would mislead its user. */

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
}

function keysOf({ properties, additionalProperties }: JsonSchema, path: readonly string[] = []): string[][] {
  if (properties !== undefined)
    return Object.entries(properties).flatMap(([key, below]) => keysOf(below, [...path, key]));
  if (typeof additionalProperties === 'object') return keysOf(additionalProperties, path);
  return [[...path]];
}

/** Sources that may use a configuration; the doctor only displays it. */
async function sources(): Promise<string> {
  const texts = await Promise.all(
    ['cli', 'central'].map(async (folder) => {
      const files = (await readdir(folder, { recursive: true })).filter(
        (file) => file.endsWith('.ts') && !/doctor|config\.ts/.test(file),
      );
      return Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
    }),
  );
  return texts.flat().join('\n');
}

const all = await sources();
const keys = keysOf(z.toJSONSchema(configSchema, { io: 'input' }) as JsonSchema).filter(([key]) => key !== 'version');

describe('every key of the configuration', () => {
  it('is covered by this test', () => {
    expect(keys.length).toBeGreaterThan(30);
    expect(keys.map((path) => path.join('.'))).toContain('cameras.deadline_ms');
  });

  it.each(keys.map((path) => [path.join('.'), path] as const))(
    '%s is used by some source file',
    (_, [section = '', key]) => {
      if (key === undefined) return expect(all).toMatch(new RegExp(`\\.${section}\\b`));
      // The options of a camera are passed to the coordinator unchanged.
      if (section === 'cameras') return expect(all).toMatch(new RegExp(`\\b${key}\\b`));
      const read = new RegExp(`\\b${section}\\.${key}\\b`);
      const taken = new RegExp(`\\{[^{}]*\\b${key}\\b[^{}]*\\} = \\w+\\.${section}\\b`);
      const within = new RegExp(`\\{[^{}]*\\b${section}\\b[^{}]*\\}(?: = |: )(?:config|settings|Config)`);
      const isWhole = new RegExp(`\\.\\.\\.\\w+\\.${section}\\b`);
      const part = within.test(all) && new RegExp(`\\{[^{}]*\\b${key}\\b[^{}]*\\} = ${section}\\b`);
      expect([read, taken, isWhole, ...(part === false ? [] : [part])].some((pattern) => pattern.test(all))).toBe(true);
    },
  );
});
