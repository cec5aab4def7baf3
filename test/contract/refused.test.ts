import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { SCHEMAS } from '../../cli/schemas.ts';
import { decode } from '../../shared/runtime/cbor.ts';

/**
 * Messages that must always be refused: `<schema>--<reason>` holds a message with exactly one fault, as CBOR in hex or
 * as JSON. If one is accepted, either a check was lost or the wire version must rise.
 */
const folder = fileURLToPath(new URL('./refused/', import.meta.url));
const samples = readdirSync(folder)
  .sort()
  .map((file) => {
    const [schema, why] = file.replace(/\.\w+$/, '').split('--');
    return {
      schema: schema!,
      why: why!,
      cbor: file.endsWith('.hex'),
      text: readFileSync(folder + file, 'utf8').trim(),
    };
  });

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

describe('messages that stay refused', () => {
  it.each(samples)('$schema with $why', ({ schema, cbor, text }) => {
    const named = SCHEMAS[schema]!;
    if (!cbor) expect(named.schema.safeParse(parsed(text)).success).toBe(false);
    else
      expect(() => decode(Uint8Array.from(Buffer.from(text, 'hex')), named.schema, schema)).toThrow(
        expect.objectContaining({ code: 'TESSERA_MESSAGE_INVALID' }),
      );
  });

  it('have one fault each, and cover every kind of message that untrusted clients send', () => {
    const kinds = [
      'work',
      'work-result',
      'tensor',
      'control',
      'born-frame',
      'frame-order',
      'blob-get',
      'blob-part',
      'echo',
      'part',
      'frame',
      'info',
      'heartbeat',
    ];
    expect([...new Set(samples.map(({ schema }) => schema))].sort()).toEqual(kinds.sort());
  });
});
