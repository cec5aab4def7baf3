import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { drawnPictures } from '../../shared/camera/live/scene-source.ts';
import type { Bus } from '../../shared/ports.ts';
import { silentLog } from '../../shared/ports.ts';
import { cameraSource } from '../../shared/protocol/messages/camera.ts';
import { type ResultObject, resultObject } from '../../shared/protocol/messages/result.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { pictureSize } from '../../shared/runtime/image.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { NO_FFMPEG } from '../support/have-ffmpeg.ts';
import { startHttpCamera } from '../support/http-camera.ts';
import { startRtspCamera } from '../support/rtsp-camera.ts';

/** Lost if these fail: a camera in the configuration gives no results, or its password is told to everybody. */

const PASSWORD = 'pl4nt3d/@';
const ESCAPED = encodeURIComponent(PASSWORD);
const names = topics();

let folder: string;
let picture: Uint8Array;
let running: { stop(): Promise<unknown> }[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-cameras-'));
  [picture] = (await drawnPictures(1)) as [Uint8Array];
});
beforeEach(() => {
  running = [];
});
afterEach(async () => {
  for (const one of running.reverse()) await one.stop();
});
afterAll(() => rm(folder, { recursive: true }));

/** `up` with these cameras, and all that a client with all rights sees. */
async function up(cameras: Record<string, unknown>) {
  const file = join(folder, 'tessera.yaml');
  await writeFile(file, JSON.stringify({ version: 1, log: { level: 'debug' }, cameras }));
  const env = { STATE_DIRECTORY: join(folder, 'state') };
  const cli = new RunningCli(['up', '--nodes', '1', '--config', file], { env });
  running.push({ stop: () => cli.stop('SIGTERM') });
  const [, port] = await cli.printed(/broker: mqtt:\/\/127\.0\.0\.1:(\d+)/);
  const url = `mqtt://127.0.0.1:${port}`;
  const seen: { topic: string; text: string }[] = [];
  const bus: Bus = await connectBus({ url, clientId: 'reader', log: silentLog });
  running.push(bus);
  await bus.subscribe('#', 1, ({ topic, payload }) => {
    seen.push({ topic, text: Buffer.from(payload).toString('latin1') });
  });
  const of = (topic: string): string[] => seen.flatMap((one) => (one.topic === topic ? [one.text] : []));
  const results = (camera: string): ResultObject[] =>
    of(names.result(camera, 'scenes')).map((text) => resultObject.parse(JSON.parse(text)));
  /** The newest payload of a topic, once it is like that. */
  const until = (topic: string, matches: (text: string) => boolean) =>
    expect.poll(() => matches(of(topic).at(-1) ?? ''), { timeout: 40_000, message: topic }).toBe(true);
  return { cli, url, file, bus, seen, of, results, until };
}

test('cameras by HTTP, by topic, drawn ones and those of a node give results; no password is seen anywhere', {
  timeout: 120_000,
}, async () => {
  const http = await startHttpCamera(picture, PASSWORD);
  running.push(http);
  const address = `http://me:${ESCAPED}@127.0.0.1:${http.port}`;
  const { cli, url, file, bus, seen, results, until } = await up({
    stream: { source: `${address}/stream`, max_fps: 2 },
    snap: { source: `${address}/snap.jpg?pwd=pl4nt3d-too`, max_fps: 2, masks: [[0, 0, 0.1, 0.1]] },
    wrong: { source: `http://me:pl4nt3d-wrong@127.0.0.1:${http.port}/stream` },
    path: { source: `${address}/pl4nt3d-path/user=me_password=pl4nt3d-pair.sdp`, max_fps: 2 },
    lost: { source: `rtsp://127.0.0.1:9/pl4nt3d-path/user=me_password=pl4nt3d-pair.sdp` },
    esp: { source: 'mqtt:esp32/jpeg' },
    drawn: { source: 'synthetic', max_fps: 2, motion: true, heartbeat_s: 60 },
    yard: { node: 'pi-1' },
  });
  await until(names.cameraStatus('stream'), (text) => text === 'online');
  for (const camera of ['stream', 'snap', 'path', 'drawn'])
    await expect.poll(() => results(camera).length, { timeout: 40_000, message: camera }).toBeGreaterThan(1);
  expect(results('stream')[0]).toMatchObject({ status: 'ok', camera: 'stream' });

  // One who publishes in the name of a camera with a source is refused.
  await bus.publish(names.input('stream', 'forged'), picture, { qos: 1 });
  await bus.publish('esp32/jpeg', picture, { qos: 1 });
  await expect.poll(() => results('esp').length, { timeout: 20_000 }).toBeGreaterThan(0);
  expect(results('stream').map(({ frame }) => frame)).not.toContain('forged');

  const env = { STATE_DIRECTORY: join(folder, 'node-state') };
  const source = `yard=${address}/stream`;
  const agent = new RunningCli(['agent', '--broker', url, '--id', 'pi-1', '--camera', source, '--fps', '2'], { env });
  running.push({ stop: () => agent.stop('SIGTERM') });
  await expect.poll(() => results('yard').length, { timeout: 40_000 }).toBeGreaterThan(0);
  await until(names.cameraSource('yard'), (text) => text.includes('"node":"pi-1"') && text.includes('"online"'));

  await until(names.cameraSource('wrong'), (text) => text.includes('it refuses user or password'));
  await until(names.cameraStatus('wrong'), (text) => text === 'offline');
  await until(names.cameraSource('lost'), (text) => text.includes('"reason":"ffmpeg '));
  const config = await runCli(['config', '--config', file]);
  const saved = join(folder, 'snap.jpg');
  const doctor = await runCli(['doctor', '--config', file, '--camera', 'snap', '--picture', saved]);
  expect(doctor).toMatchObject({ code: 0, stdout: expect.stringContaining('a picture of 640x480 pixels') });
  expect(await pictureSize(await readFile(saved))).toEqual({ width: 640, height: 480 });
  const sick = await runCli(['doctor', '--config', file, '--camera', 'wrong', '--picture', saved]);
  expect(sick).toMatchObject({ code: 1, stdout: expect.stringContaining('it refuses user or password') });
  const lent = new RunningCli(['publish', 'lent', `${address}/snap.jpg`, '--broker', url]);
  running.push({ stop: () => lent.stop('SIGTERM') });
  await expect.poll(() => results('lent').length, { timeout: 20_000 }).toBeGreaterThan(1);
  const sent = await lent.stop('SIGTERM');
  expect(sent.code).toBe(0);
  const seenOnce = await runCli(['infer', `${address}/snap.jpg`, '--broker', url, '--model', 'scenes', '--json']);
  expect(seenOnce.code).toBe(0);
  expect(JSON.parse(seenOnce.stdout)).toMatchObject({ file: 'http', status: 'ok', width: 640 });
  const unseen = await runCli(['infer', `http://me:${ESCAPED}@127.0.0.1:9/pl4nt3d-path.jpg`, '--broker', url]);
  expect(unseen).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no picture of http: connect ECONNREFUSED'),
  });
  const refused = await runCli(['agent', '--camera', `x=ftp://me:${ESCAPED}@cam/pl4nt3d-path`]);
  const ended = [
    await agent.stop('SIGTERM'),
    await cli.stop('SIGTERM'),
    config,
    refused,
    doctor,
    sick,
    sent,
    seenOnce,
    unseen,
  ];
  const said = ended.flatMap(({ stdout, stderr }) => [stdout, stderr]);
  expect(config.stdout).toContain('cameras.snap.source');
  expect(config.stdout).toContain(`http://me:***@127.0.0.1:${http.port}/***`);
  expect(refused.code).toBe(2);
  const texts = [...said, ...seen.map(({ topic, text }) => `${topic} ${text}`)];
  expect(texts.filter((text) => text.includes('pl4nt3d'))).toEqual([]);
});

test.skipIf(NO_FFMPEG !== undefined)(
  'an IP camera that is unplugged is offline at once, and comes back by itself',
  {
    timeout: 120_000,
  },
  async () => {
    const about = { folder, size: '640x360', encoder: 'libx264', user: 'me', password: PASSWORD } as const;
    const cam = await startRtspCamera(about);
    const { results, until, of, cli } = await up({
      door: { source: `rtsp://me:${ESCAPED}@127.0.0.1:${cam.port}/live`, max_fps: 3 },
    });
    await expect.poll(() => results('door').length, { timeout: 40_000 }).toBeGreaterThan(1);
    expect(cameraSource.parse(JSON.parse(of(names.cameraSource('door'))[0]!))).toMatchObject({
      node: 'central',
      source: 'rtsp',
      codec: 'h264',
      width: 640,
      height: 360,
    });
    await cam.stop();
    // Long before the 30 s of silence after which any camera is offline.
    await expect.poll(() => of(names.cameraStatus('door')).at(-1), { timeout: 15_000 }).toBe('offline');
    const before = results('door').length;
    const again = await startRtspCamera({ ...about, port: cam.port });
    running.push(again);
    await until(names.cameraStatus('door'), (text) => text === 'online');
    await expect.poll(() => results('door').length, { timeout: 40_000 }).toBeGreaterThan(before + 1);
    await until(names.cameraSource('door'), (text) => (JSON.parse(text) as { restarts: number }).restarts > 0);
    expect((await cli.stop('SIGTERM')).stderr).not.toContain('pl4nt3d');
  },
);
