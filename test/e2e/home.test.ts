import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, readFileSync, renameSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Mosquitto, NO_MOSQUITTO, startMosquitto } from '../../bench/testbed/mosquitto.ts';
import { CLI } from '../../bench/testbed/run-cli.ts';
import { resolveConfig, settingsOfTree } from '../../shared/config/layers.ts';
import { silentLog } from '../../shared/ports.ts';
import { pictureSize } from '../../shared/runtime/image.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { parseYaml } from '../../shared/runtime/yaml.ts';
import { type Block, blocksOf } from '../support/examples.ts';
import { NO_FFMPEG } from '../support/have-ffmpeg.ts';
import { HomeAssistantStandIn } from '../support/home-assistant.ts';
import { automations } from '../support/home-assistant-schema.ts';
import { inbox } from '../support/inbox.ts';
import { NO_JINJA } from '../support/jinja.ts';
import { type RtspCamera, startRtspCamera } from '../support/rtsp-camera.ts';

/**
 * docs/home.md, block by block, as somebody does it who reads it: files are written, commands run in a shell, automations go
 * to a stand-in of Home Assistant. Addresses are those of this machine instead. Lost if this fails: the first ten minutes.
 */

const data = process.env.TESSERA_DATA ?? resolve('../shared/data');
const photos = join(data, 'images', 'coco', 'images');
const SOMEBODY = join(photos, '000000011699.jpg');
const NOBODY = join(photos, '000000001675.jpg');

const missing =
  NO_FFMPEG ??
  NO_JINJA ??
  (existsSync(SOMEBODY) ? undefined : `${photos} is missing; TESSERA_DATA names the folder that holds images/`);

const blocks = blocksOf('docs/home.md');
const wordOf = ({ words }: Block, key: string): string | undefined =>
  words.find((word) => word.startsWith(`${key}=`))?.slice(key.length + 1);

/** A command of the document that runs until the end of the test, and what it has printed. */
interface Running {
  readonly text: string;
  readonly printed: () => string;
  readonly stop: () => Promise<void>;
}

let home: string;
let mosquitto: Mosquitto | undefined;
let camera: RtspCamera;
const running: Running[] = [];

/** The camera shows another picture from its next frame on. */
function show(picture: string): void {
  copyFileSync(picture, join(home, 'next.jpg'));
  renameSync(join(home, 'next.jpg'), join(home, 'seen.jpg'));
}

beforeAll(async () => {
  if (missing !== undefined) return;
  home = await mkdtemp(join(tmpdir(), 'tessera-home-'));
  execFileSync('mosquitto_passwd', ['-c', '-b', join(home, 'passwords'), 'tessera', 'secret']);
  mosquitto = await startMosquitto({ extra: [`password_file ${join(home, 'passwords')}`] });
  show(NOBODY);
  const [user, password] = ['user', 'password'];
  const picture = join(home, 'seen.jpg');
  camera = await startRtspCamera({ folder: home, size: '640x480', encoder: 'libx264', user, password, picture });
  const program = async (name: string, script: string) =>
    writeFile(join(home, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  await mkdir(join(home, 'bin'));
  const downloads = resolve('test/support/downloads.cjs');
  await program('tessera', `exec ${process.execPath} --require ${downloads} ${CLI} "$@"`);
  await program('rpicam-vid', `cat ${NOBODY} ${NOBODY}; exec sleep 3600`);
}, 60_000);
afterAll(async () => {
  for (const one of running.reverse()) await one.stop();
  await camera?.stop();
  await mosquitto?.stop();
  if (home !== undefined) await rm(home, { recursive: true });
}, 30_000);

/** The text of a block with the addresses of this machine. */
const here = (text: string): string =>
  text
    .replaceAll('mqtt://10.0.0.5', mosquitto!.url)
    .replaceAll('-h 10.0.0.5', `-h 127.0.0.1 -p ${mosquitto!.port}`)
    .replaceAll('10.0.0.7', `127.0.0.1:${camera.port}`);

/** Starts a block of commands in a shell. */
function start(block: Block): { printed: () => string; ended: Promise<unknown[]>; stop: () => Promise<void> } {
  const cwd = join(home, wordOf(block, 'in') ?? '.');
  const state = join(home, `state-${wordOf(block, 'in') ?? 'here'}`);
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('TESSERA_'));
  const env = {
    ...Object.fromEntries(own),
    PATH: `${join(home, 'bin')}:${process.env.PATH}`,
    STATE_DIRECTORY: state,
    TEST_DOWNLOADS: join(data, 'models'),
  };
  const child = spawn('sh', ['-ec', `exec ${here(block.text).trim()}`], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (printed += String(chunk)));
  const ended = once(child, 'close');
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
  };
  return { printed: () => printed, ended, stop };
}

async function run(block: Block): Promise<void> {
  const { text, words } = block;
  const started = start(block);
  if (words.includes('keeps-running')) {
    running.push({ text, ...started });
    return;
  }
  const [code] = await started.ended;
  expect({ text, code, printed: started.printed() }).toMatchObject({ code: 0 });
}

/** Waits until a command of the document has printed something. */
const said = (command: string, what: RegExp) =>
  expect.poll(() => running.find(({ text }) => text.startsWith(command))?.printed(), { timeout: 60_000 }).toMatch(what);

test('every block of docs/home.md is a file, a command, an automation or a part of a configuration', () => {
  expect(blocks.filter(({ words }) => words.includes('by-hand')).map(({ text }) => text)).toEqual([
    'sudo apt-get install ffmpeg mosquitto-clients\n',
  ]);
  const commands = blocks.filter(({ language }) => language === 'sh');
  expect(commands.filter(({ text }) => text.trim().includes('\n'))).toEqual([]);
  const parts = blocks.filter(({ language, words }) => language === 'yaml' && !words.includes('home-assistant'));
  expect(blocks.length).toBe(commands.length + parts.length + 1);
  for (const { text } of parts) resolveConfig([settingsOfTree(parseYaml(text, text, 'TESSERA_CONFIG'), 'file')]);
});

test('whoever does what docs/home.md says has a light that is on while somebody is at the door', async ({ skip }) => {
  if (missing !== undefined) return skip(missing);
  if (mosquitto === undefined) return skip(NO_MOSQUITTO);
  const watcher = await connectBus({ url: mosquitto.url, clientId: 'watcher', log: silentLog });
  running.push({ text: 'watcher', printed: () => '', stop: () => watcher.stop() });
  const light = await inbox(watcher, 'zigbee2mqtt/porch/set');
  const door = await inbox(watcher, 'tessera/result/front_door/fastestdet');
  const crop = await inbox(watcher, 'tessera/result/front_door/fastestdet/crop');
  const garden = await inbox(watcher, 'tessera/result/garden/fastestdet');
  const yard = await inbox(watcher, 'tessera/result/yard/fastestdet');
  const isLight = (state: string) =>
    expect.poll(() => new TextDecoder().decode(light.received.at(-1)?.payload), { timeout: 60_000 }).toBe(state);
  for (const block of blocks) {
    const file = wordOf(block, 'file');
    if (file !== undefined) {
      await mkdir(dirname(join(home, file)), { recursive: true });
      await writeFile(join(home, file), here(block.text));
    } else if (block.words.includes('home-assistant')) {
      const rules = automations.parse(parseYaml(block.text, 'automations', 'TESSERA_CONFIG'));
      const assistant = new HomeAssistantStandIn(mosquitto.url, rules, { 'light.porch': 'zigbee2mqtt/porch/set' });
      running.push({ text: 'Home Assistant', printed: () => '', stop: async () => assistant.kill() });
      // What the document has its reader see.
      await said('tessera up', /reading front_door/);
      await said('tessera up', /window: http/);
      expect(readFileSync(join(home, 'front_door.jpg')).byteLength).toBeGreaterThan(10_000);
      await door.next();
      show(SOMEBODY);
      await isLight('ON');
      expect(await pictureSize((await crop.next()).payload)).toBeDefined();
      await said('mosquitto_sub', /^tessera\/result\/front_door\/fastestdet\/count\/person [1-9]$/m);
      show(NOBODY);
      await isLight('OFF');
      await said('mosquitto_sub', /count\/person 0\n$/);
    } else if (block.language === 'sh' && !block.words.includes('by-hand')) await run(block);
  }
  await garden.next();
  await yard.next();
}, 180_000);
