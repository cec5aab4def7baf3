import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { LiveCamera } from '../../shared/camera/live/live-camera.ts';
import { openCamera } from '../../shared/camera/live/open-camera.ts';
import { PictureWork } from '../../shared/camera/live/picture-work.ts';
import { parseSource } from '../../shared/camera/source-name.ts';
import { type ConfiguredSource, sourceSettings } from '../../shared/camera/source-settings.ts';
import type { SourceReport } from '../../shared/protocol/messages/camera.ts';
import { decodeFrame, encodeJpeg, pictureSize } from '../../shared/runtime/image.ts';
import { makeAuthority, NO_OPENSSL } from '../support/certificates.ts';
import { NO_FFMPEG } from '../support/have-ffmpeg.ts';
import { type HttpCamera, startHttpCamera } from '../support/http-camera.ts';
import { recordingLog } from '../support/recording-log.ts';
import { startRtspCamera } from '../support/rtsp-camera.ts';

/** Lost if these fail: cameras that people have cannot be read, or their passwords are shown. */

const PASSWORD = "h1dd3n'ed/@:?#";
const ESCAPED = encodeURIComponent(PASSWORD).replace("'", '%27');

let folder: string;
let white: Uint8Array;
let http: HttpCamera;
let work: PictureWork;
const open: LiveCamera[] = [];
const { PATH } = process.env;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-sources-'));
  white = await encodeJpeg(new Uint8Array(160 * 120 * 3).fill(255), 160, 120, 90);
  await writeFile(join(folder, 'white.jpg'), white);
  http = await startHttpCamera(white, PASSWORD);
  work = new PictureWork();
});
afterEach(async () => {
  process.env.PATH = PATH;
  await Promise.all(open.splice(0).map((camera) => camera.stop()));
});
afterAll(async () => {
  await work.stop();
  await http.stop();
  await rm(folder, { recursive: true });
});

function camera(source: string, configured: ConfiguredSource = {}) {
  const parsed = parseSource(source);
  if (typeof parsed === 'string') throw new Error(parsed);
  const log = recordingLog();
  const reports: SourceReport[] = [];
  const one = openCamera('front', sourceSettings(parsed, { max_fps: 20, ...configured }), {
    bus: undefined,
    work,
    needed: () => 100,
    onReport: (report) => reports.push(report),
    log,
  });
  open.push(one);
  /** The first reason for which it went offline. */
  const reason = async (): Promise<string> => {
    await expect.poll(() => reports.find(({ state }) => state === 'offline'), { timeout: 20_000 }).toBeDefined();
    return reports.find(({ state }) => state === 'offline')!.reason!;
  };
  const everythingSaid = (): string => [...log.lines, JSON.stringify(reports)].join('\n');
  return { one, reports, reason, everythingSaid };
}

/** A program that stands in for one that this machine has not. */
async function standIn(name: string, script: string): Promise<void> {
  await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  process.env.PATH = `${folder}:${PATH}`;
}

describe('an HTTP camera with a password', () => {
  const at = (path: string, secret = ESCAPED) => `http://me:${secret}@127.0.0.1:${http.port}${path}`;

  test('its stream is read, and read again after it was cut', async () => {
    const { one, reports } = camera(at('/stream'));
    expect((await one.next())!.bytes).toEqual(white);
    http.cut();
    await expect.poll(() => reports.map(({ state }) => state)).toContain('offline');
    expect((await one.next())!.bytes).toEqual(white);
    await expect.poll(() => reports.at(-1)).toMatchObject({ source: 'http', state: 'online', restarts: 1 });
  });

  test('its snapshots are asked for, one for each frame', async () => {
    const { one } = camera(at('/snap.jpg?quality=9'));
    for (let count = 0; count < 3; count++) expect(Buffer.from(white).equals((await one.next())!.bytes)).toBe(true);
    expect(http.counts.snapshots).toBe(3);
  });

  test('it may close connections that it does not use: no picture is missing', async () => {
    const { one, reports } = camera(at('/closing.jpg'));
    for (let count = 0; count < 4; count++) expect(Buffer.from(white).equals((await one.next())!.bytes)).toBe(true);
    expect(http.counts.closed).toBeGreaterThan(0);
    expect(reports.map(({ state }) => state)).not.toContain('offline');
  });

  test.each([
    ['/stream', 'wr0ngsecret', 'it refuses user or password'],
    ['/page', ESCAPED, 'it answers with text/html, neither a picture nor MJPEG'],
    ['/moved', ESCAPED, 'it answers with status 302, and is not followed elsewhere'],
  ])('%s with %s says why it is offline, without the password', async (path, secret, why) => {
    const { reason, everythingSaid } = camera(at(path, secret));
    expect(await reason()).toBe(why);
    expect(everythingSaid()).not.toMatch(/wr0ngsecret|h1dd3n/);
  });
});

test('an https camera is asked only where its certificate is vouched for, or is the one that was written', async ({
  skip,
}) => {
  const authority = await makeAuthority();
  if (authority === undefined) return skip(NO_OPENSSL);
  const secure = await startHttpCamera(white, PASSWORD, authority);
  try {
    const at = `https://me:${ESCAPED}@127.0.0.1:${secure.port}/snap.jpg`;
    const said = await camera(at).reason();
    const own = /([0-9A-F]{2}:){31}[0-9A-F]{2}/.exec(said)![0];
    expect(said).toMatch(/^nobody that this machine knows vouches for its certificate/);
    expect(await camera(at, { certificate: 'ab'.repeat(32) }).reason()).toContain(`another certificate`);
    expect(secure.counts.requests).toBe(0);
    for (const certificate of [own, own.replaceAll(':', '').toLowerCase(), 'any'])
      expect((await camera(at, { certificate }).one.next())!.bytes).toEqual(Buffer.from(white));
  } finally {
    await secure.stop();
    await authority.remove();
  }
});

test('masks are black and the crop is cut in the picture that goes on', async () => {
  const { one } = camera(join(folder, 'white.jpg'), { masks: [[0, 0, 0.5, 0.5]], crop: [0.25, 0, 1, 1] });
  const { bytes } = (await one.next())!;
  const size = await pictureSize(bytes);
  expect(size).toEqual({ width: 120, height: 120 });
  const { data } = await decodeFrame(bytes, { ...size, color: 'gray', resize: 'stretch', crop: 1 });
  const at = (x: number, y: number) => data[y * 120 + x]!;
  // The mask covers the left half of the whole picture: 40 pixels of what is left. JPEG blurs within 16 pixels.
  expect([at(0, 0), at(20, 30), at(70, 30), at(20, 100)].map((level) => level > 128)).toEqual([
    false,
    false,
    true,
    true,
  ]);
  expect(Math.max(at(0, 0), at(20, 30))).toBeLessThan(16);
});

test("a Raspberry Pi's camera is read as rpicam-vid writes it", async () => {
  await standIn('rpicam-vid', `echo "$@" > ${folder}/said; cat ${folder}/white.jpg ${folder}/white.jpg; exec sleep 60`);
  const { one } = camera('rpicam:1');
  expect((await one.next())!.bytes).toEqual(white);
  expect(await readFile(join(folder, 'said'), 'utf8')).toContain('--codec mjpeg --camera 1 --framerate 20');
});

test('a USB camera that writes no JPEGs is converted', async () => {
  const formats = '[video4linux2,v4l2 @ 0x55d0] Raw       :     yuyv422 :           YUYV 4:2:2 : 640x480';
  const list = `echo "${formats}" >&2; exit 1`;
  const read = `echo "$@" > ${folder}/said; cat ${folder}/white.jpg; exec sleep 60`;
  await standIn('ffmpeg', `case "$*" in *-list_formats*) ${list};; *) ${read};; esac`);
  expect((await camera('/dev/video7').one.next())!.bytes).toEqual(white);
  expect(await readFile(join(folder, 'said'), 'utf8')).toContain('-f v4l2 -i /dev/video7 -vf select=');
});

test('a USB camera is read as ffmpeg copies it, and what ffmpeg says last is the reason of its end', async () => {
  await standIn('ffmpeg', `cat ${folder}/white.jpg; echo "/dev/video7: Input/output error" >&2; exit 1`);
  const { one, reason } = camera('/dev/video7');
  expect((await one.next())!.bytes).toEqual(white);
  expect(await reason()).toBe('ffmpeg ended with code 1: /dev/video7: Input/output error');
});

test('a program that is not installed is named with its package', async () => {
  process.env.PATH = folder;
  await rm(join(folder, 'rpicam-vid'), { force: true });
  expect(await camera('rpicam').reason()).toBe('rpicam-vid is not installed: `apt-get install rpicam-apps`');
});

describe.skipIf(NO_FFMPEG !== undefined)(`with ffmpeg ${NO_FFMPEG ?? ''}`, () => {
  test('a video is read in a loop', { timeout: 60_000 }, async () => {
    const file = join(folder, '-a clip.mp4');
    const drawn = ['-f', 'lavfi', '-i', 'testsrc2=size=320x240:rate=10:duration=0.3', '-pix_fmt', 'yuv420p'];
    execFileSync('ffmpeg', ['-nostdin', '-loglevel', 'error', ...drawn, `file:${file}`]);
    const { one, reports } = camera(file);
    for (let count = 0; count < 5; count++)
      expect(await pictureSize((await one.next())!.bytes)).toMatchObject({ width: 320 });
    expect(reports[0]).toMatchObject({ source: 'path', codec: 'h264', restarts: 0 });
  });

  test('no picture of a slow camera is sent twice', { timeout: 60_000 }, async () => {
    const file = join(folder, 'slow.mp4');
    const drawn = ['-f', 'lavfi', '-i', 'testsrc2=size=320x240:rate=4:duration=4', '-pix_fmt', 'yuv420p'];
    execFileSync('ffmpeg', ['-nostdin', '-loglevel', 'error', ...drawn, file]);
    const { one } = camera(file, { max_fps: 20 });
    const seen = new Set<string>();
    for (let count = 0; count < 6; count++) seen.add(Buffer.from((await one.next())!.bytes).toString('base64'));
    expect(seen.size).toBe(6);
  });

  test('a camera of which few pictures are wanted is online between them', { timeout: 60_000 }, async () => {
    const file = join(folder, 'seldom.mp4');
    const drawn = ['-f', 'lavfi', '-i', 'testsrc2=size=320x240:rate=10:duration=4', '-pix_fmt', 'yuv420p'];
    execFileSync('ffmpeg', ['-nostdin', '-loglevel', 'error', ...drawn, file]);
    const { one, reports } = camera(file, { max_fps: 0.05, offline_after_s: 1 });
    await one.next();
    await expect.poll(() => reports.length, { timeout: 20_000 }).toBeGreaterThan(3);
    expect(reports.map(({ state, restarts }) => `${state} ${restarts}`)).toEqual(reports.map(() => 'online 0'));
  });

  test('an IP camera is read, made smaller, and its password is shown nowhere', { timeout: 60_000 }, async () => {
    const cam = await startRtspCamera({
      folder,
      size: '1920x1080',
      encoder: 'libx264',
      user: 'me',
      password: PASSWORD,
    });
    try {
      const { one, reports, everythingSaid } = camera(`rtsp://me:${ESCAPED}@127.0.0.1:${cam.port}/live`, {
        max_fps: 5,
      });
      expect(await pictureSize((await one.next())!.bytes)).toEqual({ width: 854, height: 480 });
      const commands = await Promise.all(
        (await readdir('/proc'))
          .filter((name) => /^\d+$/.test(name))
          .map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
      );
      expect(commands.some((command) => command.includes('ffmpeg') && command.includes('concat'))).toBe(true);
      expect(commands.filter((command) => command.includes('h1dd3n'))).toEqual([]);
      expect(cam.counts.admitted).toBeGreaterThan(0);
      await expect.poll(() => reports.at(-1)?.cpu_percent, { timeout: 10_000 }).toBeGreaterThan(0);
      expect(reports.at(-1)).toMatchObject({ source: 'rtsp', codec: 'h264', width: 1920, height: 1080 });
      expect(everythingSaid()).not.toContain('h1dd3n');
    } finally {
      await cam.stop();
    }
  });

  test('an IP camera that refuses the password says so without it', { timeout: 60_000 }, async () => {
    const cam = await startRtspCamera({ folder, size: '320x240', encoder: 'libx264', user: 'me', password: 'other' });
    try {
      const { reason, everythingSaid } = camera(
        `rtsp://me:${ESCAPED}@127.0.0.1:${cam.port}/live/s3cret-path?key=s3cret-key`,
      );
      expect(await reason()).toMatch(/^ffmpeg ended with code \d+: .*401/);
      expect(everythingSaid()).not.toMatch(/h1dd3n|s3cret/);
    } finally {
      await cam.stop();
    }
  });

  test('H.265 in more pixels than are needed is warned about', { timeout: 60_000 }, async () => {
    const cam = await startRtspCamera({ folder, size: '1024x600', encoder: 'libx265', user: 'me', password: 'x' });
    try {
      const { one, reports } = camera(`rtsp://me:x@127.0.0.1:${cam.port}/live`, { max_fps: 1, resize: 200 });
      await one.next();
      await expect.poll(() => reports.at(-1)?.warnings.join()).toMatch(/H\.265.*substream/);
    } finally {
      await cam.stop();
    }
  });
});
