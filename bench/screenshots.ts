import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Page } from 'playwright-core';
import sharp from 'sharp';
import { startBrowser } from './testbed/browser.ts';
import { RunningCli } from './testbed/run-cli.ts';

/** Pictures are so wide, pixels. */
const WIDTH = 1100;
const QUALITY = 80;
/** A node that leaves before the last pictures, so that there is something to say about it. */
const LEAVES = 'attic-pi';

const CONFIG = `
cameras:
  front_door: { source: synthetic, max_fps: 2 }
  garden: { source: synthetic, max_fps: 2 }
`;

/** A view, and what is on it once it has something to show. */
const VIEWS: readonly (readonly [view: string, shows: string])[] = [
  ['cameras', '[data-camera=garden]:has(image) >> text=/[1-9][0-9.]* of .* frames a second/'],
  // At least three nodes, and central.
  ['frame', 'figure:has(.tile) .key:nth-child(4)'],
  ['plan', '[data-model]:not(:has-text("measured–")) >> text=tiles 4x4'],
  ['settings', 'fieldset'],
  ['log', `text=${LEAVES} is offline`],
  ['nodes', `[data-node=${LEAVES}].offline`],
];

/** The command `npm run screenshots`: a picture of each view of a cluster that runs, written to docs/screenshots. */
export async function main([folder = 'docs/screenshots']: readonly string[]): Promise<void> {
  const state = await mkdtemp(join(tmpdir(), 'tessera-screenshots-'));
  await writeFile(join(state, 'tessera.yaml'), CONFIG);
  const env = { STATE_DIRECTORY: join(state, 'state') };
  const up = new RunningCli(['up', '--nodes', '3'], { cwd: state, env });
  const [, url = ''] = await up.printed(/window: (http:\S+)/);
  const [, broker = ''] = await up.printed(/broker: (mqtt:\S+)/);
  const agentEnv = { STATE_DIRECTORY: join(state, LEAVES), TESSERA_MQTT__SERVER: broker };
  const agent = new RunningCli(['agent', '--id', LEAVES], { cwd: state, env: agentEnv });
  const browser = await startBrowser();
  try {
    const page = await browser.newPage({ viewport: { width: WIDTH, height: 400 } });
    await page.goto(`${url}/#nodes`);
    await page.locator(`[data-node=${LEAVES}]`).getByText('ready').waitFor({ timeout: 60_000 });
    for (const [view, shows] of VIEWS) {
      if (view === 'log') await agent.stop('SIGKILL');
      await page.goto(`${url}/#${view}`);
      await page.locator(shows).first().waitFor({ timeout: 60_000 });
      await writeFile(join(folder, `${view}.webp`), await picture(page));
      console.log(join(folder, `${view}.webp`));
    }
  } finally {
    await browser.close();
    await agent.stop('SIGKILL');
    await up.stop();
    await rm(state, { recursive: true });
  }
}

/** The whole page as WebP. */
async function picture(page: Page): Promise<Uint8Array> {
  return sharp(await page.screenshot({ fullPage: true }))
    .webp({ quality: QUALITY })
    .toBuffer();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(process.argv.slice(2));
