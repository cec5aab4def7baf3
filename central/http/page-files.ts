import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { readBytes } from '../../shared/runtime/file.ts';
import { packageFolder } from '../../shared/runtime/version.ts';

/** A file of the page. */
export interface PageFile {
  readonly type: string;
  readonly bytes: Uint8Array;
  /** Changes with the file (RFC 9110, section 8.8.3). */
  readonly etag: string;
}

/** The page: its files by path, and the policy that the browser is to enforce (Content Security Policy, level 3). */
export interface Page {
  readonly files: ReadonlyMap<string, PageFile>;
  readonly policy: string;
}

const TYPES = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

/** Files of `page/`. */
const OWN = [
  'index.html',
  'style.css',
  'icon.svg',
  ...['main', 'live', 'html', 'text', 'colours', 'picture', 'tiles', 'waterfall'].map((name) => `${name}.js`),
  ...['login', 'cameras', 'frame', 'fleet', 'plan', 'settings', 'log'].map((name) => `${name}.js`),
];

/** Reads the page, which is served as it is: nothing is built. */
export async function readPage(): Promise<Page> {
  const folder = join(packageFolder(), 'central', 'http', 'page');
  const { resolve } = createRequire(import.meta.url);
  const places = new Map<string, string>([
    ...OWN.map((name) => [name === 'index.html' ? '/' : `/page/${name}`, join(folder, name)] as const),
    ['/vendor/preact.js', resolve('preact')],
    ['/vendor/preact-hooks.js', resolve('preact/hooks')],
    ['/vendor/htm.js', join(dirname(resolve('htm')), 'htm.module.js')],
  ]);
  const files = new Map<string, PageFile>();
  for (const [path, place] of places) files.set(path, await pageFile(path, place));
  const html = Buffer.from(files.get('/')!.bytes).toString();
  return { files, policy: policyOf(html) };
}

async function pageFile(path: string, place: string): Promise<PageFile> {
  const bytes = await readBytes(place);
  const ending = path === '/' ? 'html' : path.slice(path.lastIndexOf('.') + 1);
  return { type: TYPES[ending as keyof typeof TYPES], bytes, etag: `"${hashOf(bytes)}"` };
}

/** Only what central serves, and of scripts in the page itself only its import map. */
function policyOf(html: string): string {
  const [, map] = /<script type="importmap">([\s\S]*?)<\/script>/.exec(html)!;
  return [
    "default-src 'none'",
    `script-src 'self' 'sha256-${createHash('sha256').update(map!).digest('base64')}'`,
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64url').slice(0, 22);
