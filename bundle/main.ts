import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { failureOf, TesseraError } from '../shared/errors.ts';
import { makePath } from '../shared/runtime/make-path.ts';
import { packageVersion } from '../shared/runtime/version.ts';
import { writeWhole } from '../shared/runtime/whole-file.ts';
import { releaseText } from '../shared/update/release.ts';
import { isVersion } from '../shared/update/version-order.ts';
import { makeBundle } from './bundle.ts';
import { ARCHES } from './content.ts';
import { signText } from './signing.ts';

/*
 * `npm run bundle -- --arch arm64|x64 [--key FILE] [--minimum VERSION] [--out FOLDER] [--fast]`: makes the archive and the Debian package of
 * a platform, their SHA-256, and the signature of these. Exit code 0, 1 where it fails, 2 for wrong usage.
 */

async function main(args: string[]): Promise<void> {
  const { arch: wanted, key, minimum, out, fast } = words(args);
  const arch = ARCHES.find((each) => each === wanted);
  if (arch === undefined) throw usage(`--arch ${wanted ?? ''}: expected ${ARCHES.join(' or ')}`);
  if (!isVersion(minimum)) throw usage(`--minimum ${minimum}: expected a version such as 1.2.3`);
  const { name, archive, debian } = await makeBundle(arch, { fast });
  makePath(out);
  const write = async (file: string, content: Uint8Array | string): Promise<void> => {
    await writeWhole({ what: 'the bundle', path: join(out, file), mode: 0o644 }, content);
    console.log(`${join(out, file)} (${(Buffer.byteLength(content) / 1e6).toFixed(1)} MB)`);
  };
  const made = [[`${name}.tar.zst`, archive] as const, [`${name}.deb`, debian] as const];
  for (const [file, content] of made) await write(file, content);
  const hash = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');
  const files = new Map(made.map(([file, content]) => [file, hash(content)]));
  const text = releaseText({ version: packageVersion(), platform: `linux-${arch}`, minimum, files });
  await write(`${name}.sha256`, text);
  if (key === undefined) console.error('not signed: --key FILE names a key, which is made if it does not exist');
  else {
    const { signature, publicKey } = await signText(text, key);
    await write(`${name}.sha256.sig`, signature);
    console.error(`signed; nodes that have the key ${publicKey} in updates.keys accept it`);
  }
}

function words(args: string[]): { arch?: string; key?: string; minimum: string; out: string; fast: boolean } {
  const string = { type: 'string' } as const;
  const options = {
    arch: string,
    key: string,
    minimum: { ...string, default: '0.0.0' },
    out: { ...string, default: '.' },
    fast: { type: 'boolean', default: false },
  } as const;
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    throw usage((error as Error).message);
  }
}

function usage(message: string): TesseraError {
  return new TesseraError('TESSERA_USAGE', message, {
    hint:
      'npm run bundle -- --arch arm64|x64 [--key FILE] [--minimum VERSION] [--out FOLDER] [--fast]; ' +
      '--minimum: the oldest version that nodes may go back to; --fast: within seconds, but larger',
  });
}

await main(process.argv.slice(2)).catch((error: unknown) => {
  const { code, message, hint } = failureOf(error);
  console.error(`error ${code}: ${message}${hint === undefined ? '' : `\nhint: ${hint}`}`);
  process.exitCode = code === 'TESSERA_USAGE' ? 2 : 1;
});
