import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import type { z } from 'zod';
import { SCHEMAS } from '../../../cli/schemas.ts';
import { resolveConfig, settingsOfTree } from '../../../shared/config/layers.ts';
import { TesseraError } from '../../../shared/errors.ts';
import { parseCard } from '../../../shared/model/card.ts';
import { cardDocument } from '../../../shared/model/card-document.ts';
import { packageFolder } from '../../../shared/runtime/version.ts';
import { parseYaml, stringifyYaml } from '../../../shared/runtime/yaml.ts';
import { editedBytes, thenEdited } from '../edits.ts';
import { bytesOf, type FuzzTarget, must, same, textOf } from '../target.ts';
import { editedTree, jsonText } from '../trees.ts';
import { jsonOf } from './models.ts';

function files(...path: string[]): Uint8Array[] {
  const folder = join(packageFolder(), ...path);
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .map((file) => new Uint8Array(readFileSync(join(folder, file))));
}

function yamlOf(bytes: Uint8Array): unknown {
  try {
    return parseYaml(textOf(bytes), 'input', 'TESSERA_CONFIG');
  } catch {
    return undefined;
  }
}

/** YAML is read at about a megabyte a second. */
const MOST_YAML = 8 * 1024;

/** Documents by their values (JSON is YAML) and by their bytes. */
function documents(seeds: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const trees = seeds.map(yamlOf).filter((tree) => tree !== undefined && tree !== null);
  const values = thenEdited(
    editedTree(trees).map((tree) => bytesOf(jsonText(tree, MOST_YAML))),
    seeds,
  );
  return fc.oneof(values, editedBytes(seeds, MOST_YAML));
}

/** model.yaml. */
export const card: FuzzTarget = {
  name: 'card',
  weight: 0.2,
  limitMs: 1000,
  about: 'model.yaml of any content: a card that says the same when it is written and read again, or a coded error',
  seeds: () => files('test', 'data', 'cards'),
  inputs: documents,
  open: () => ({
    judge(input) {
      try {
        const read = parseCard(parseYaml(textOf(input), 'input', 'TESSERA_MODEL_CARD') ?? {}, 'input');
        const text = stringifyYaml(cardDocument(read));
        const again = parseCard(parseYaml(text, 'again', 'TESSERA_MODEL_CARD'), 'again');
        must(same(cardDocument(again), cardDocument(read)), 'a card changes when it is written and read again');
        must(/^[A-Za-z0-9_-]{1,64}$/.test(read.name), () => `the name "${read.name}" is accepted`);
        return 'accepted';
      } catch (error) {
        if (error instanceof TesseraError && error.code === 'TESSERA_MODEL_CARD') return 'refused';
        throw error;
      }
    },
  }),
};

/** tessera.yaml. */
export const config: FuzzTarget = {
  name: 'config',
  weight: 0.2,
  limitMs: 1000,
  about: 'tessera.yaml of any content: a configuration, or a coded error that names the key',
  seeds: () => files('config'),
  inputs: documents,
  open: () => ({
    judge(input) {
      try {
        const tree = parseYaml(textOf(input), 'input', 'TESSERA_CONFIG') ?? {};
        const { config: read } = resolveConfig([settingsOfTree(tree, 'file input')]);
        const { config: again } = resolveConfig([settingsOfTree(JSON.parse(JSON.stringify(read)), 'file again')]);
        must(same(JSON.parse(JSON.stringify(again)), JSON.parse(JSON.stringify(read))), 'a configuration changes');
        const names = Object.keys(read.cameras);
        must(
          names.every((name) => /^[A-Za-z0-9_-]{1,64}$/.test(name)),
          () => `cameras ${names} are accepted`,
        );
        return 'accepted';
      } catch (error) {
        if (error instanceof TesseraError && error.code === 'TESSERA_CONFIG') return 'refused';
        throw error;
      }
    },
  }),
};

/** Requests with a plan, which may be anything until it is read: that is the target `plan`. */
const HOLD_PLANS = ['deploy', 'measure-stage', 'tune'];

/** Payloads that are JSON, with the schemas under which they are published; requests may hold anything. */
const JSON_SCHEMAS = Object.entries(SCHEMAS)
  .filter(
    ([name, { what }]) => !what.includes('CBOR') && !['config', 'model', 'plan', 'request', 'response'].includes(name),
  )
  .map(([name, { schema }]) => (HOLD_PLANS.includes(name) ? (schema as z.ZodObject).omit({ plan: true }) : schema));

function frozenJson(): Uint8Array[] {
  const folder = join(packageFolder(), 'test', 'contract', 'samples', 'wire-1');
  const names = readdirSync(folder).sort();
  return names
    .filter((file) => file.endsWith('.json') && !names.includes(file.replace('.json', '.hex')))
    .map((file) => new Uint8Array(readFileSync(join(folder, file))));
}

function checkFinite(value: unknown): void {
  if (typeof value === 'number') must(Number.isFinite(value), () => `${value} is accepted`);
  else if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) checkFinite(inner);
}

/** JSON payloads of nodes and apps. */
export const json: FuzzTarget = {
  name: 'json',
  about: 'JSON payloads of nodes and apps: numbers are finite, and what is accepted is accepted again',
  seeds: frozenJson,
  inputs: (seeds) => {
    const trees = seeds.map(jsonOf).filter((tree) => tree !== undefined);
    return thenEdited(
      editedTree(trees).map((tree) => bytesOf(jsonText(tree))),
      seeds,
    );
  },
  open: () => ({
    judge(input) {
      const value = jsonOf(input);
      if (value === undefined) return 'refused';
      let verdict: 'accepted' | 'refused' = 'refused';
      for (const schema of JSON_SCHEMAS) {
        const read = schema.safeParse(value);
        if (!read.success) continue;
        verdict = 'accepted';
        checkFinite(read.data);
        const again = schema.safeParse(JSON.parse(JSON.stringify(read.data)));
        must(again.success && same(again.data, read.data), 'a payload changes when it is sent on');
      }
      return verdict;
    },
  }),
};
