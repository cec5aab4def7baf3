import { setTimeout as sleep } from 'node:timers/promises';
import type { LiveCamera } from '../shared/camera/live/live-camera.ts';
import { openCamera } from '../shared/camera/live/open-camera.ts';
import { PictureWork } from '../shared/camera/live/picture-work.ts';
import type { Shot } from '../shared/camera/source.ts';
import type { SourceSettings } from '../shared/camera/source-settings.ts';
import { type Bus, silentLog } from '../shared/ports.ts';
import type { SourceReport } from '../shared/protocol/messages/camera.ts';

/** How long the first picture may take, s: an IP camera begins with its next whole picture. */
export const WAIT_S = 20;

/** A camera that was opened to be tried. */
export interface TriedCamera {
  readonly camera: LiveCamera;
  /** Its first picture; undefined where its source fails, or nothing came in time. */
  readonly shot: Shot | undefined;
  /** The newest report of its source. */
  readonly report: () => SourceReport | undefined;
}

/** Reads a camera as central would, until `use` is through with it. `bus`: for pictures of a topic. */
export async function tryCamera<T>(
  name: string,
  settings: SourceSettings,
  bus: Bus | undefined,
  signal: AbortSignal,
  use: (tried: TriedCamera) => Promise<T>,
): Promise<T> {
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
    return await use({ camera, shot, report: () => report });
  } finally {
    await camera.stop();
    await work.stop();
  }
}

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
