import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readProfiles } from '../../central/profiles.ts';
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
  const times = await readProfiles(folder, log);
  expect([...times.keys()]).toEqual(['a'.repeat(64)]);
  expect(times.get('a'.repeat(64))!.get('pi-1')!.layer_ms).toEqual([5]);
  expect(log.lines.filter((line) => /is not used/.test(JSON.stringify(line)))).toHaveLength(2);
  expect((await readProfiles(join(folder, 'none'), log)).size).toBe(0);
});
