import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeImage } from '../../../cli/flash/write-image.ts';

/** If it fails, a counterfeit card passes, since the memory of the machine that wrote it answers for it. */

it('reads back what the card holds once the system has forgotten what was written', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tessera-write-image-'));
  await writeFile(join(folder, 'image'), 'x'.repeat(1000));
  const card = await open(join(folder, 'card'), 'w+');
  try {
    const write = (forget: () => Promise<void>) => writeImage(join(folder, 'image'), card, () => {}, forget);
    await write(async () => {});
    await expect(
      write(async () => {
        await card.write('y', 500);
      }),
    ).rejects.toThrow('the card gives back other bytes than were written');
  } finally {
    await card.close();
    await rm(folder, { recursive: true });
  }
});
