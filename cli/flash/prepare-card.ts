import { TesseraError } from '../../shared/errors.ts';
import type { BootVolume } from './boot-volume.ts';
import { type Card, OURS } from './card.ts';
import { type Form, firstBoot, formOf } from './first-boot.ts';

/** Room for the small files, and for what the first boot itself writes. */
const SPARE_BYTES = 4e6;

/**
 * Makes a boot partition the one of a node: the package first and cmdline.txt last, so that a card of which half is
 * written boots as it would have. Every file is read back, which for a mounted volume may come from memory. Throws TESSERA_USAGE for another volume, TESSERA_STORAGE
 * where it has no room or gives back other bytes.
 */
export async function prepareCard(
  volume: BootVolume,
  card: Card,
  token: string,
  debian: Uint8Array,
  where: string,
): Promise<Form> {
  const names = await volume.names();
  for (const name of ['config.txt', 'cmdline.txt'])
    if (!names.includes(name))
      throw new TesseraError('TESSERA_USAGE', `${where} is no boot volume of a Raspberry Pi: it has no ${name}`, {
        hint: 'name the volume that the card shows as bootfs, or an image or device that Raspberry Pi OS was written to',
      });
  const cmdline = Buffer.from(await volume.read('cmdline.txt')).toString('utf8');
  const form = formOf(names, cmdline);
  const { files, gone } = firstBoot(form, card, token, cmdline);
  for (const name of [...gone, OURS.package]) if (names.includes(name)) await volume.remove(name);
  const free = await volume.free();
  if (free < debian.byteLength + SPARE_BYTES)
    throw new TesseraError(
      'TESSERA_STORAGE',
      `${where} has ${mb(free)} free, and needs ${mb(debian.byteLength + SPARE_BYTES)}`,
      {
        hint: 'write an image with a larger boot partition; those of Raspberry Pi OS 12 and newer have 512 MB',
      },
    );
  const encoder = new TextEncoder();
  const all = [
    [OURS.package, debian] as const,
    ...[...files].map(([name, text]) => [name, encoder.encode(text)] as const),
  ];
  for (const [name, content] of all) {
    await volume.write(name, content);
    if (Buffer.compare(await volume.read(name), content) !== 0)
      throw new TesseraError('TESSERA_STORAGE', `${where} gives back another ${name} than was written`, {
        hint: 'the card is worn out or a counterfeit: take another one',
      });
  }
  return form;
}

const mb = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;
