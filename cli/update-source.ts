import { TesseraError } from '../shared/errors.ts';
import type { OfferedRelease } from '../shared/protocol/messages/update.ts';
import { archiveOf, MAX_RELEASE_TEXT, readRelease, releaseName } from '../shared/update/release.ts';

/** Platforms that bundles are made for. */
const PLATFORMS = ['linux-arm64', 'linux-x64'] as const;
const SIGNATURE_BYTES = 64;
const PATIENCE_MS = 20_000;

/**
 * The releases of a version in a folder of a web server, by platform: what was signed, the signature, and the URL of the
 * archive. Throws TESSERA_DOWNLOAD where the server does not answer, has none, or has other files.
 */
export async function releasesAt(from: string, version: string): Promise<Record<string, OfferedRelease>> {
  const base = from.endsWith('/') ? from : `${from}/`;
  const found: Record<string, OfferedRelease> = {};
  for (const platform of PLATFORMS) {
    const url = `${base}${releaseName(version, platform)}.sha256`;
    const text = await fetched(url, MAX_RELEASE_TEXT);
    if (text === undefined) continue;
    const signature = await fetched(`${url}.sig`, SIGNATURE_BYTES);
    const release = readRelease(`${text}`);
    if (typeof release === 'string') throw wrong(`${url} is no release: ${release}`);
    if (signature === undefined) throw wrong(`${url} is not signed`);
    const archive = `${base}${archiveOf(release)}`;
    found[platform] = { text: `${text}`, signature: signature.toString('base64url'), url: archive };
  }
  if (Object.keys(found).length === 0) throw wrong(`${base} has no release of version ${version}`);
  return found;
}

/** A small file; undefined where there is none. */
async function fetched(url: string, most: number): Promise<Buffer | undefined> {
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (error) {
    throw wrong(`${url} cannot be read: ${((error as Error).cause as Error | undefined)?.message ?? error}`);
  }
  if (response.status === 404) return undefined;
  if (response.status !== 200) throw wrong(`${url} answers with ${response.status}`);
  const bytes = Buffer.from(await response.arrayBuffer());
  if (bytes.byteLength > most) throw wrong(`${url} has ${bytes.byteLength} bytes, where at most ${most} are expected`);
  return bytes;
}

const wrong = (message: string): TesseraError =>
  new TesseraError('TESSERA_DOWNLOAD', message, {
    hint: 'put there what `npm run bundle -- --key FILE` made: the files that end in .sha256, .sha256.sig and .tar.zst',
  });
