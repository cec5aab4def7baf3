import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configSchema } from '../../../shared/config/schema.ts';
import { z } from '../../../shared/schema.ts';

/** A key that is accepted and never read would make users believe that they have set something. */

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

/** The file of a command and the files of cli/ and central/ that it imports; the doctor only displays the configuration. */
function sourcesOf(file: string, seen = new Map<string, string>()): Map<string, string> {
  if (seen.has(file) || !/^(cli|central)\//.test(file) || /doctor/.test(file)) return seen;
  const text = readFileSync(file, 'utf8');
  seen.set(file, text);
  for (const [, from = ''] of text.matchAll(/(?:from|import\()\s*'(\.[^']+\.ts)'/g))
    sourcesOf(join(dirname(file), from), seen);
  return seen;
}

/** The sections of the configuration that each command uses; `others` are keys of these sections that it does not use. */
const PROCESSES: Readonly<
  Record<string, { readonly sections: readonly string[]; readonly others?: readonly string[] }>
> = {
  up: {
    sections: [
      'mqtt',
      'broker',
      'central',
      'planner',
      'node',
      'mdns',
      'models',
      'cameras',
      'accept_unlisted_cameras',
      'homeassistant',
      'http',
      'updates',
      'log',
    ],
    others: ['updates.trial_s'],
  },
  broker: {
    sections: ['broker', 'mdns', 'homeassistant', 'updates', 'log'],
    others: ['homeassistant.enabled', 'updates.folder', 'updates.trial_s'],
  },
  central: {
    sections: [
      'mqtt',
      'central',
      'planner',
      'mdns',
      'models',
      'cameras',
      'accept_unlisted_cameras',
      'homeassistant',
      'http',
      'updates',
      'log',
    ],
    others: ['updates.keys', 'updates.trial_s'],
  },
  agent: { sections: ['mqtt', 'node', 'mdns', 'updates', 'log'], others: ['updates.folder'] },
  infer: { sections: ['mqtt', 'models', 'log'], others: ['models.signing_key'] },
};

const keys = keysOf(z.toJSONSchema(configSchema, { io: 'input' }) as JsonSchema).filter(([key]) => key !== 'version');
const rows = Object.entries(PROCESSES).flatMap(([process, { sections, others = [] }]) =>
  keys
    .filter((path) => sections.includes(path[0]!) && !others.includes(path.join('.')))
    .map((path) => [process, path.join('.'), path] as const),
);

describe('every key of the configuration', () => {
  it('is covered by this test', () => {
    expect(keys.length).toBeGreaterThan(30);
    expect(new Set(rows.map(([, key]) => key)).size).toBe(keys.length);
    expect(keys.map((path) => path.join('.'))).toContain('cameras.deadline_ms');
  });

  it.each(rows)('`tessera %s` uses or refuses %s', (process, _, [section = '', key]) => {
    const texts = [...sourcesOf(`cli/commands/${process}.ts`).values()];
    const all = texts.join('\n');
    if (key === undefined) return expect(all).toMatch(new RegExp(`\\.${section}\\b`));
    // The options of a camera go on to the coordinator as they are.
    if (section === 'cameras') return expect(all).toMatch(new RegExp(`\\b${key}\\b`));
    const read = new RegExp(`\\b(?:config|settings)\\.${section}\\.${key}\\b`);
    const taken = new RegExp(`\\{[^{}]*\\b${key}\\b[^{}]*\\} = \\w+\\.${section}\\b`);
    const isWhole = new RegExp(`\\.\\.\\.\\w+\\.${section}\\b`);
    // A file may destructure the configuration to the section, and then read the key of the section.
    const within = new RegExp(`\\{[^{}]*\\b${section}\\b[^{}]*\\}(?: = |: )(?:[a-z]+\\.)?(?:config|settings|Config)`);
    const ofIt = new RegExp(`\\b${section}\\.${key}\\b|\\{[^{}]*\\b${key}\\b[^{}]*\\} = ${section}\\b`);
    const isRead = texts.some(
      (text) => [read, taken, isWhole].some((pattern) => pattern.test(text)) || (within.test(text) && ofIt.test(text)),
    );
    expect(isRead).toBe(true);
  });
});
