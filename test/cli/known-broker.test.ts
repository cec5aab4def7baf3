import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { keepGood, lastGood } from '../../cli/known-broker.ts';

/** If it fails, a node that has found its broker looks for it again at each start, or never finds another one. */

const folder = mkdtempSync(join(tmpdir(), 'tessera-known-'));
afterAll(() => rmSync(folder, { recursive: true }));
const [TOKEN, FOUND] = ['mqtt://192.168.1.10:1883', 'mqtt://192.168.1.77:1883'];

describe('the last good address of a broker', () => {
  it('is kept for the address in whose place it was found, and for no other', async () => {
    expect(await lastGood(folder, TOKEN)).toBe(TOKEN);
    keepGood(folder, TOKEN, FOUND);
    expect(await lastGood(folder, TOKEN)).toBe(FOUND);
    expect(await lastGood(folder, 'mqtt://10.0.0.1:1883')).toBe('mqtt://10.0.0.1:1883');
    expect(statSync(join(folder, 'found-broker.json')).mode & 0o777).toBe(0o600);
  });

  it.each(['', '{}', '{"version":1,"instead_of":"mqtt://192.168.1.10:1883","server":"file:///etc"}'])(
    'is that of the token where the file is damaged: %j',
    async (text) => {
      writeFileSync(join(folder, 'found-broker.json'), text);
      expect(await lastGood(folder, TOKEN)).toBe(TOKEN);
    },
  );
});
