import { TesseraError } from '../../shared/errors.ts';
import { defineCommand } from '../command.ts';
import { string, values } from '../options.ts';

/** `tessera update verify FILE`: checks a bundle by hand. */
export const command = defineCommand({
  arguments: '<file>',
  description:
    'Checks the signature of a bundle, and the SHA-256 of its files that lie beside it. FILE is the file that ends in ' +
    '.sha256; its signature lies beside it, with .sig behind its name.',
  options: {
    key: values(
      '--key <key>',
      'a key that may have signed it, as npm run bundle prints it; default: updates.keys',
      string,
    ),
  },
  examples: [
    ['update verify tessera-0.2.0-linux-arm64.sha256 --key ed25519:11qYAYKx...', 'says who signed what, or refuses it'],
  ],
  async run({ args, options, json, out, config: loadConfig }) {
    const path = args[0]!;
    const [{ dirname, join }, { readBytes, fileSha256 }, { signedRelease }, { systemCodeOf }] = await Promise.all([
      import('node:path'),
      import('../../shared/runtime/file.ts'),
      import('../../shared/runtime/release-signature.ts'),
      import('../../shared/storage-fault.ts'),
    ]);
    const keys = options.key.length > 0 ? options.key : (await loadConfig()).config.updates.keys;
    const read = async (file: string): Promise<Buffer> =>
      readBytes(file).catch((error: Error) => {
        throw new TesseraError('TESSERA_USAGE', `${file} cannot be read: ${error.message}`, {
          hint: 'name the file of a bundle that ends in .sha256',
        });
      });
    const release = signedRelease(
      (await read(path)).toString(),
      (await read(`${path}.sig`)).toString('base64url'),
      keys,
    );
    const files: Record<string, 'right' | 'absent'> = {};
    for (const [name, sha] of release.files) {
      const found = await fileSha256(join(dirname(path), name)).catch((error: unknown) => {
        if (systemCodeOf(error) === 'ENOENT') return undefined;
        throw error;
      });
      if (found !== undefined && found !== sha)
        throw new TesseraError('TESSERA_SIGNATURE', `${name} is not the file that was signed`, {
          hint: 'get it again from where the bundle was made',
        });
      files[name] = found === undefined ? 'absent' : 'right';
    }
    const { version, platform, minimum } = release;
    if (json) out.json({ version, platform, minimum, files });
    else {
      out.line(`signed: version ${version} for ${platform}; nodes that ran it never go back beyond ${minimum}`);
      for (const [name, state] of Object.entries(files)) out.line(`${name}: ${state}`);
    }
    return 0;
  },
});
