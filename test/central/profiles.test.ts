import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Profiles } from '../../central/profiles.ts';
import { recordingLog } from '../support/recording-log.ts';

/** Lost if this fails: central plans without the times that were measured, or does not start because of a bad file. */

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tessera-profiles-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const profile = (more: object) =>
  JSON.stringify({
    format: 'tessera-profile/1',
    model: 'm',
    sha256: 'a'.repeat(64),
    input_bytes: 10,
    source: 'pi-1',
    blocks: [{ name: 'b', output_bytes: 1 }],
    nodes: [{ id: 'pi-1', tier: 'edge', block_ms: [5] }],
    links: [],
    ...more,
  });

test('profiles are read by network and node; what cannot be used is logged, and no folder is no profile', async () => {
  writeFileSync(join(folder, 'one.json'), profile({}));
  writeFileSync(join(folder, 'bare.json'), profile({ format: undefined, sha256: undefined }));
  writeFileSync(join(folder, 'broken.json'), '{');
  writeFileSync(join(folder, 'notes.txt'), 'not a profile');
  const log = recordingLog();
  const profiles = await Profiles.read(folder, log);
  expect(profiles.of('a'.repeat(64))!.get('pi-1')!.layer_ms).toEqual([5]);
  expect(log.lines.filter((line) => /is not used/.test(JSON.stringify(line)))).toHaveLength(2);
  expect((await Profiles.read(join(folder, 'none'), log)).of('a'.repeat(64))).toBeUndefined();
});

describe('a profile that a command sends in parts', () => {
  const text = profile({ source: 'pi-2', nodes: [{ id: 'pi-2', tier: 'edge', block_ms: [7] }] });
  const sha = createHash('sha256').update(text).digest('hex');
  const parts = (of: string, bytes = 50) =>
    Array.from({ length: Math.ceil(of.length / bytes) }, (_, i) => ({
      transaction: 't',
      sha,
      size: of.length,
      offset: i * bytes,
      d: Buffer.from(of.slice(i * bytes, (i + 1) * bytes)).toString('base64'),
    }));
  const taken = (profiles: Profiles, of: string, check = () => {}) =>
    parts(of)
      .map((part) => profiles.take(part, check))
      .at(-1);
  const open = () => Profiles.read(join(folder, 'sent'), recordingLog());

  test('is used at once, and after a restart', async () => {
    const profiles = await open();
    expect(taken(profiles, text)).toEqual({ received: text.length, nodes: ['pi-2'] });
    for (const each of [profiles, await open()]) expect(each.of('a'.repeat(64))!.get('pi-2')!.layer_ms).toEqual([7]);
  });

  test('is refused out of turn, with other bytes, for another network, and where it is none', async () => {
    const profiles = await Profiles.read(join(folder, 'refused'), recordingLog());
    const [first, second, third] = parts(text);
    expect(() => profiles.take(second!, () => {})).toThrow(/out of turn, at 50/);
    profiles.take(first!, () => {});
    expect(() => profiles.take(third!, () => {})).toThrow(/out of turn, at 100/);
    expect(() => taken(profiles, text.replace('7', '8'))).toThrow(/another SHA-256/);
    const unserved = (): never => {
      throw new Error('not served');
    };
    expect(() => taken(profiles, text, unserved)).toThrow('not served');
    expect(profiles.of('a'.repeat(64))).toBeUndefined();
  });
});
