import { TesseraError } from '../../shared/errors.ts';

/** Bytes that `bootOffset` looks at. */
export const SECTOR = 512;
/** Types of FAT partitions in the table of a master boot record. */
const FAT_TYPES: readonly number[] = [0x01, 0x04, 0x06, 0x0b, 0x0c, 0x0e];

/**
 * Where the first FAT file system of an image begins, in bytes, by its first sector: a master boot record with
 * partitions, or the file system itself. Throws TESSERA_USAGE.
 */
export function bootOffset(sector: Uint8Array, where: string): number {
  const view = new DataView(sector.buffer, sector.byteOffset, sector.byteLength);
  const wrong = (why: string): TesseraError =>
    new TesseraError('TESSERA_USAGE', `${where} is no image of a Raspberry Pi: ${why}`, {
      hint: 'name an image such as 2025-10-01-raspios-trixie-arm64-lite.img, unpacked, or a card that one was written to',
    });
  if (sector.byteLength < SECTOR || view.getUint16(510, true) !== 0xaa55) throw wrong('it has no table of partitions');
  // The name of the file system, which stands here in FAT16 and FAT32 only.
  for (const at of [54, 82]) if (new TextDecoder('latin1').decode(sector.subarray(at, at + 3)) === 'FAT') return 0;
  for (let entry = 446; entry < 510; entry += 16) {
    if (!FAT_TYPES.includes(sector[entry + 4]!)) continue;
    return view.getUint32(entry + 8, true) * SECTOR;
  }
  throw wrong('none of its partitions has a FAT file system');
}
