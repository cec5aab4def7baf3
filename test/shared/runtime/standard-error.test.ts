import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { patientWriter } from '../../../shared/runtime/standard-error.ts';
import { smallDisk } from '../../support/small-disk.ts';

// Lost if this fails: a whole service ends because the disk with its log is full.

it('a log on a full disk ends no process, and says what it left out once there is room', async ({ skip }) => {
  const disk = await smallDisk('64k');
  if (disk === undefined) return skip('needs root and a tmpfs on Linux');
  const file = join(disk.folder, 'log');
  const fd = openSync(file, 'a');
  try {
    const writer = patientWriter(fd);
    writer.write('first\n');
    writeSync(fd, 'x'.repeat(4096 - 6));
    const free = disk.fill();
    for (let i = 0; i < 5; i++) writer.write(`lost ${i}\n`);
    free();
    writer.write('last\n');
    expect(readFileSync(file, 'utf8').replace(/x+/, '')).toBe(
      'first\n(5 lines of the log left out: the log could not be written)\nlast\n',
    );
  } finally {
    closeSync(fd);
    disk.remove();
  }
});
