import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHROMIUM, haveBrowser, startBrowser } from '../../bench/testbed/browser.ts';
import { RunningUp } from '../support/running-up.ts';

/** The page in a real browser: every view, by keyboard, narrow and wide, light and dark, without a fault in its console. */

const VIEWS = ['cameras', 'frame', 'nodes', 'plan', 'settings', 'log'] as const;

if (!haveBrowser) console.log(`${CHROMIUM} is missing (Debian package chromium): the page is not tested`);

describe.skipIf(!haveBrowser)('the page', () => {
  let up: RunningUp;
  let url: string;
  let browser: Browser;
  let page: Page;
  const faults: string[] = [];
  beforeAll(async () => {
    up = await RunningUp.start();
    [, url] = (await up.up.printed(/window: (http:\S+)/)) as unknown as [string, string];
    browser = await startBrowser();
    page = await browser.newPage({ viewport: { width: 360, height: 740 }, colorScheme: 'dark' });
    page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
    page.on('pageerror', ({ message }) => faults.push(message));
    await page.goto(url);
  });
  afterAll(async () => {
    await browser.close();
    await up.stop();
  });
  const view = (name: string) => page.locator(`main[data-view=${name}]`);

  test('shows each camera with what was found', async () => {
    const card = page.locator('[data-camera=good]');
    const shown = card.locator('image[href$="/picture"]').waitFor();
    while (!(await Promise.race([shown.then(() => true), up.undisturbed().then(() => false)])));
    expect(await card.innerText()).toMatch(/scenes: .+ \d+ %/);
  });

  test('has every view behind a key and a link, without scrolling sideways at 360 pixels', async () => {
    for (const [k, name] of VIEWS.entries()) {
      await page.keyboard.press(String(k + 1));
      await view(name).waitFor();
      expect(await page.locator('nav [aria-current=page]').innerText()).toBe(name);
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), name).toBe(true);
    }
    await page.locator('nav').getByText('nodes').focus();
    await page.keyboard.press('Enter');
    await view('nodes').waitFor();
  });

  test('shows a frame tile by tile in the colours of their nodes, and where its time went', async () => {
    await page.goto(`${url}/#frame/good`);
    await up.undisturbed();
    await page.locator('.tile').nth(15).waitFor();
    expect(await page.locator('.tile').count()).toBe(16);
    const fills = await page.locator('.tile rect').evaluateAll((all) => all.map((one) => one.getAttribute('fill')));
    expect(new Set(fills).size).toBeGreaterThan(0);
    expect(await page.locator('.tile title').first().innerHTML()).toMatch(/^tile 0: node-\d, [\d.]+ ms, /);
    expect(await page.locator('.waterfall rect.compute').count()).toBeGreaterThan(1);
    for (const kind of ['decode', 'tail']) expect(await page.locator(`.waterfall rect.${kind}`).count(), kind).toBe(1);
    expect(await page.locator('.waterfall rect.paste').count()).toBeGreaterThan(0);
    await page.keyboard.press('p');
    await page.getByRole('button', { name: 'go on' }).click();
    await page.getByRole('button', { name: 'hold this frame' }).waitFor();
  });

  test('shows the plan, and changes a setting', async () => {
    await page.goto(`${url}/#plan`);
    await page.getByText('tiles 4x4 zero').waitFor();
    await page.goto(`${url}/#settings`);
    const camera = page.getByRole('group', { name: 'good' });
    await camera.getByLabel('threshold').fill('0.55');
    await page.keyboard.press('Tab');
    await page.getByText('threshold of good is 0.55.').waitFor();
    await camera.getByLabel('snapshot').focus();
    await page.keyboard.press('Space');
    await page.getByText('snapshot of good is OFF.').waitFor();
    const { cameras } = (await (await fetch(`${url}/api/v1/settings`)).json()) as { cameras: object };
    expect(cameras).toMatchObject({ good: { threshold: '0.55', snapshot: 'OFF', detect: 'ON' } });
  });

  test('says that a node was killed', async () => {
    await page.goto(`${url}/#nodes`);
    await page.locator('[data-node=node-2].online').waitFor();
    await up.killNode('node-2');
    await page.locator('[data-node=node-2].offline').waitFor();
    expect(await page.getByRole('status').innerText()).toMatch(/1 of 2 nodes away/);
    await page.keyboard.press('6');
    await page.getByText('node node-2 is offline').waitFor();
  });

  test('has no fault in its console', () => expect(faults).toEqual([]));
});
