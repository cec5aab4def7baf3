import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SourceSettings } from '../../shared/camera/source-settings.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { Bus } from '../../shared/ports.ts';
import { pictureSize } from '../../shared/runtime/image.ts';
import { tryCamera, WAIT_S } from '../first-picture.ts';
import type { CameraFacts } from './camera.ts';

/** How long what it costs is measured after the first picture, ms. */
const MEASURE_MS = 4000;

/** Reads a camera as central would, and saves its first picture in `file`. Throws TESSERA_STORAGE. */
export function lookAtCamera(
  name: string,
  settings: SourceSettings,
  file: string,
  bus: Bus | undefined,
  signal: AbortSignal,
): Promise<CameraFacts> {
  return tryCamera(name, settings, bus, signal, async ({ camera, shot, report }) => {
    if (shot === undefined) return { name, report: report(), picture: undefined, waited_s: WAIT_S };
    const size = await pictureSize(shot.bytes);
    await writeFile(file, shot.bytes).catch((cause) => {
      throw new TesseraError('TESSERA_STORAGE', `${file} cannot be written: ${cause.message}`, {
        hint: 'name another file with --picture',
        cause,
      });
    });
    // The rest of its pictures is taken too, as central would: it is what costs.
    const taken = (async () => {
      while ((await camera.next()) !== undefined);
    })();
    await sleep(MEASURE_MS, undefined, { signal });
    await camera.stop();
    await taken;
    const picture = { ...size, bytes: shot.bytes.byteLength, file: resolve(file) };
    return { name, report: report(), picture, waited_s: WAIT_S };
  });
}
