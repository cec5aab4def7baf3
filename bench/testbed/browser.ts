import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
import { TesseraError } from '../../shared/errors.ts';

/** Where Debian's package `chromium` has its program. */
export const CHROMIUM = '/usr/bin/chromium';

/** Whether there is a browser. */
export const haveBrowser = existsSync(CHROMIUM);

/** Starts Chromium without a window. Throws TESSERA_USAGE where it is not installed. */
export async function startBrowser(): Promise<Browser> {
  if (!haveBrowser)
    throw new TesseraError('TESSERA_USAGE', `${CHROMIUM} is missing`, { hint: 'install the Debian package chromium' });
  // Its sandbox does not start as root, and it shows pages of this machine alone.
  return chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
}
