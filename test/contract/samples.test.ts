import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { SCHEMAS } from '../../cli/schemas.ts';
import { WIRE_VERSION } from '../../shared/protocol/topics.ts';
import { decode, encode } from '../../shared/runtime/cbor.ts';
import { examplesOf, withBytes } from '../support/examples.ts';

/**
 * Frozen samples of every message: messages of older versions must be readable for ever, with their old meaning. A
 * sample is `<schema>-<hash>.json` (byte strings as `h'..'`) and, for CBOR, `<schema>-<hash>.hex` with the bytes as
 * they were sent. Samples are never changed or removed within a wire version. TESSERA_FREEZE=1 adds the examples of
 * docs/protocol.md and docs/window.md that have no sample yet.
 */

const folder = fileURLToPath(new URL(`./samples/wire-${WIRE_VERSION}/`, import.meta.url));
const isCbor = (schema: string): boolean => SCHEMAS[schema]!.what.includes('CBOR');
const onWire = Object.keys(SCHEMAS).filter((name) => !['config', 'model', 'plan', 'profile'].includes(name));

/** The JSON text of a sample: bytes in diagnostic notation. */
function sampleText(value: unknown): string {
  const written = (_: string, item: unknown): unknown =>
    item instanceof Uint8Array ? `h'${Buffer.from(item).toString('hex')}'` : item;
  return `${JSON.stringify(value, written, 2)}\n`;
}

function freeze(): void {
  mkdirSync(folder, { recursive: true });
  for (const { schema, value } of [...examplesOf('docs/protocol.md'), ...examplesOf('docs/window.md')]) {
    const text = sampleText(value);
    const path = `${folder}${schema}-${createHash('sha256').update(text).digest('hex').slice(0, 8)}`;
    if (existsSync(`${path}.json`)) continue;
    writeFileSync(`${path}.json`, text);
    if (isCbor(schema)) writeFileSync(`${path}.hex`, `${Buffer.from(encode(value)).toString('hex')}\n`);
  }
}

if (process.env.TESSERA_FREEZE === '1') freeze();

const samples = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => {
    const name = basename(file, '.json');
    const hex = `${folder}${name}.hex`;
    return {
      name,
      schema: name.replace(/-[0-9a-f]{8}$/, ''),
      meaning: withBytes(JSON.parse(readFileSync(folder + file, 'utf8'))),
      bytes: existsSync(hex) ? Uint8Array.from(Buffer.from(readFileSync(hex, 'utf8').trim(), 'hex')) : undefined,
    };
  });

describe(`frozen messages of wire version ${WIRE_VERSION}`, () => {
  it('cover every payload', () => {
    expect([...new Set(samples.map(({ schema }) => schema))].sort()).toEqual([...onWire].sort());
    for (const { name, schema, bytes } of samples) expect(bytes !== undefined, name).toBe(isCbor(schema));
  });

  it.each(samples)('$name keeps its meaning', ({ schema, meaning, bytes }) => {
    const named = SCHEMAS[schema]!;
    if (bytes === undefined) expect(named.schema.parse(meaning)).toEqual(meaning);
    else expect(decode(bytes, named.schema, schema)).toEqual(meaning);
  });

  it.each(samples)('$name is read with keys of a later version', ({ schema, meaning, bytes }) => {
    const later = { ...(meaning as object), 'a-later-key': [1, { deep: true }] };
    const named = SCHEMAS[schema]!;
    const read = bytes === undefined ? named.schema.parse(later) : decode(encode(later), named.schema, schema);
    expect(read).toMatchObject(meaning as object);
  });
});
