import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { unpackRelease } from '../../../node-agent/update/unpack.ts';

afterEach(() => vi.unstubAllEnvs());

describe.skipIf('createZstdDecompress' in zlib)('an archive, where Node has no zstd', () => {
  it('is refused where there is no program zstd either, and the agent lives on', async () => {
    const root = mkdtempSync(join(tmpdir(), 'tessera-unpack-'));
    try {
      writeFileSync(join(root, 'archive'), 'anything');
      vi.stubEnv('PATH', root);
      await expect(unpackRelease(join(root, 'archive'), join(root, 'to'), '')).rejects.toMatchObject({
        code: 'TESSERA_DOWNLOAD',
        message: expect.stringMatching(/zstd cannot be run/),
      });
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
