import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openCameras } from '../../cli/agent-cameras.ts';
import { silentLog } from '../../shared/ports.ts';
import { recordingLog } from '../support/recording-log.ts';

/** Lost if these fail: a camera ends though it could go on, or two cameras get half of a stream each. */

test('a file of a folder that cannot be read now is skipped, and the camera goes on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tessera-cameras-'));
  try {
    for (const name of ['a.jpg', 'b.jpg']) await writeFile(join(folder, name), name);
    const log = recordingLog();
    const [camera] = await openCameras([{ name: 'front', source: folder }], 1000, log);
    await rm(join(folder, 'a.jpg'));
    expect(await camera!.source.next()).toMatchObject({ id: 'b.jpg' });
    expect(await camera!.source.next()).toMatchObject({ id: 'b.jpg' });
    expect(log.lines.filter((line) => /camera front skips a picture: cannot read .*a\.jpg/.test(line))).toHaveLength(1);
    await camera!.source.stop();
    expect(await camera!.source.next()).toBeUndefined();
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('standard input is one camera', async () => {
  const both = ['front', 'door'].map((name) => ({ name, source: '-' }));
  await expect(openCameras(both, 5, silentLog)).rejects.toMatchObject({ code: 'TESSERA_USAGE' });
});
