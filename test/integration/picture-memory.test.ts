import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

/** Central decodes pictures for months: what each one leaves behind ends it. */

const WORK = `
  const { decodeFrame, encodeJpeg, thumbnail } = await import(process.argv[1]);
  const [width, height] = [640, 480];
  const jpeg = await encodeJpeg(new Uint8Array(width * height * 3), width, height, 90);
  const round = async () => {
    for (let i = 0; i < 200; i++) {
      const { data } = await decodeFrame(jpeg, { width, height, color: 'rgb', resize: 'stretch', crop: 1 });
      await encodeJpeg(data, width, height, 100);
      await thumbnail({ format: 'jpeg', d: jpeg }, 640, 100);
    }
    gc();
    return process.memoryUsage.rss() / 1e6;
  };
  const before = await round();
  console.log(JSON.stringify([before, await round()]));
`;

test('decoding and encoding pictures leaves no memory behind', async () => {
  const module = pathToFileURL(resolve('dist/shared/runtime/image.js')).href;
  const args = ['--expose-gc', '--input-type=module', '--eval', WORK, module];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const [before, after] = JSON.parse(stdout) as [number, number];
  // 200 pictures of 0.9 MB each are 184 MB.
  expect(after - before).toBeLessThan(60);
}, 120_000);
