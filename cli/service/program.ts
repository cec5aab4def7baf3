import { TesseraError } from '../../shared/errors.ts';
import { compiledFile } from '../../shared/runtime/worker-entry.ts';

/**
 * Program and first words of this program's command line, as a unit names them: the command of an installed bundle, else
 * Node and the script. Throws TESSERA_CONFIG where a service could not read them.
 */
export function programWords(env: Readonly<Record<string, string | undefined>> = process.env): string[] {
  const words =
    env.TESSERA_LAUNCHER === undefined
      ? [process.execPath, compiledFile(import.meta.url, '../main.ts')]
      : [env.TESSERA_LAUNCHER];
  const hidden = words.find((word) => /^\/(home|root|run\/user|tmp|var\/tmp)\/|[\s%$"'\\]/.test(word));
  if (hidden === undefined) return words;
  throw new TesseraError(
    'TESSERA_CONFIG',
    `a service cannot start ${hidden}: home and temporary folders are hidden from it`,
    {
      hint: 'install a bundle (docs/fleet.md), or move this program to /opt, to a path without spaces',
    },
  );
}
