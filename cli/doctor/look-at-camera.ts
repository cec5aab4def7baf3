import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openCamera } from '../../shared/camera/live/open-camera.ts';
import { PictureWork } from '../../shared/camera/live/picture-work.ts';
import type { Shot } from '../../shared/camera/source.ts';
import type { SourceSettings } from '../../shared/camera/source-settings.ts';
import { TesseraError } from '../../shared/errors.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import type { SourceReport } from '../../shared/protocol/messages/camera.ts';
import { pictureSize } from '../../shared/runtime/image.ts';
import type { CameraFacts } from './camera.ts';

/** How long a picture may take, s: an IP camera begins with its next whole picture. */
const WAIT_S = 20;
/** How long what it costs is measured after the first picture, ms. */
const MEASURE_MS = 4000;

/** Reads a camera as central would, and saves its first picture in `file`. Throws TESSERA_STORAGE. */
export async function lookAtCamera(
  name: string,
  settings: SourceSettings,
  file: string,
  bus: Bus | undefined,
  signal: AbortSignal,
): Promise<CameraFacts> {
  const work = new PictureWork();
  let report: SourceReport | undefined;
  let failed = (): void => {};
  const offline = new Promise<undefined>((done) => {
    failed = () => done(undefined);
  });
  const onReport = (said: SourceReport): void => {
    report = said;
    if (said.state === 'offline') failed();
  };
  const camera = openCamera(name, settings, { bus, work, needed: () => undefined, onReport, log: silentLog });
  try {
    const shot = await firstOf(camera.next(), offline, signal);
    if (shot === undefined) return { name, report, picture: undefined, waited_s: WAIT_S };
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
    return { name, report, picture: { ...size, bytes: shot.bytes.byteLength, file: resolve(file) }, waited_s: WAIT_S };
  } finally {
    await camera.stop();
    await work.stop();
  }
}

/** The first picture; undefined where its source fails, or nothing comes in time. */
async function firstOf(picture: Promise<Shot | undefined>, offline: Promise<undefined>, signal: AbortSignal) {
  const done = new AbortController();
  const late = sleep(WAIT_S * 1000, undefined, { signal: AbortSignal.any([signal, done.signal]) });
  try {
    return await Promise.race([picture, offline, late]);
  } finally {
    done.abort();
    late.catch(() => {});
  }
}
