import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Deployment } from '../../bench/testbed/deployment.ts';
import { freePort } from '../../bench/testbed/mosquitto.ts';
import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import type { Bus } from '../../shared/ports.ts';
import { encodeJpeg, pictureSize } from '../../shared/runtime/image.ts';
import { inbox } from '../support/inbox.ts';

/**
 * The flow that docs/home-assistant.md has people import, in a real Node-RED. That has a hundred megabytes of dependencies, which
 * nobody needs to work on Tessera: it is installed below the system's temporary folder, and kept there for the next run.
 */

/** Version 4 runs on Node 20; 5 needs 22. */
const VERSION = '4.1.8';
const home = join(tmpdir(), `tessera-node-red-${VERSION}`);
const main = join(home, 'node_modules', 'node-red', 'red.js');

let deployment: Deployment;
let url: string;
let noNodeRed: string | undefined;
let running: ChildProcess | undefined;
let watcher: Bus;

beforeAll(async () => {
  deployment = await Deployment.create();
  await mkdir(home, { recursive: true });
  const args = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefix', home, `node-red@${VERSION}`];
  if (!existsSync(main))
    await promisify(execFile)('npm', args, { timeout: 150_000 }).catch((error: Error) => {
      noNodeRed = `Node-RED ${VERSION} cannot be installed from npm: ${error.message.split('\n')[0]}`;
    });
  if (noNodeRed !== undefined) return;
  url = (await deployment.broker('embedded'))!.url;
  watcher = await deployment.connect(url, 'watcher');
}, 180_000);
afterAll(async () => {
  running?.kill('SIGKILL');
  await deployment.end();
});

/** Two pictures of different labels. */
async function scenes(): Promise<{ label: string; jpeg: Uint8Array }[]> {
  const first = drawScene(seedRanges.heldOut.from + 100);
  for (let i = 101; ; i++) {
    const second = drawScene(seedRanges.heldOut.from + i);
    if (second.label === first.label) continue;
    return Promise.all(
      [first, second].map(async ({ rgb, width, height, label }) => ({
        label,
        jpeg: await encodeJpeg(rgb, width, height, 90),
      })),
    );
  }
}

/** Starts Node-RED with a flow; resolves when it is connected to the broker. */
async function startNodeRed(flow: string): Promise<string> {
  const folder = join(deployment.folder, 'node-red');
  await mkdir(folder);
  await writeFile(join(folder, 'flows.json'), flow);
  await writeFile(join(folder, 'settings.js'), "module.exports = { flowFile: 'flows.json', uiHost: '127.0.0.1' };\n");
  const args = [main, '--userDir', folder, '--port', String(await freePort())];
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  running = child;
  let printed = '';
  await new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`Node-RED ended with ${code}: ${printed}`)));
    child.stdout.on('data', (chunk) => {
      printed += String(chunk);
      if (/Connected to broker/.test(printed)) resolve();
    });
  });
  return folder;
}

test('the imported flow brings pictures in, switches a light by the count of a label, and keeps the snapshot', async ({
  skip,
}) => {
  if (noNodeRed !== undefined) return skip(noNodeRed);
  const [first, second] = await scenes();
  const example = await readFile('docs/examples/node-red.json', 'utf8');
  // What its text says has to be changed: the broker's port, and the label.
  const flow = example
    .replace('"port": "1883"', `"port": "${new URL(url).port}"`)
    .replaceAll('count/person"', `count/${first!.label}"`);
  await deployment.central(url, { cameras: { front: { hold: 1 } } });
  const status = await inbox(watcher, 'tessera/status');
  while ((await status.text()) !== 'online');
  const folder = await startNodeRed(flow);
  const light = await inbox(watcher, 'zigbee2mqtt/porch/set');
  // As a camera does: again and again, since Node-RED subscribes after it has connected.
  const film = ({ jpeg }: { jpeg: Uint8Array }, state: string) =>
    vi.waitFor(
      async () => {
        await watcher.publish('cameras/front/jpeg', jpeg, { qos: 1 });
        expect(light.received.map(({ payload }) => new TextDecoder().decode(payload)).at(-1)).toBe(state);
      },
      { timeout: 30_000, interval: 200 },
    );
  await film(first!, 'ON');
  const size = await pictureSize(first!.jpeg);
  await vi.waitFor(
    async () => expect(await pictureSize(await readFile(join(folder, 'tessera-last.jpg')))).toEqual(size),
    20_000,
  );
  await film(second!, 'OFF');
}, 120_000);
