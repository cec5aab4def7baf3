import { drawnPictures } from '../../shared/camera/live/scene-source.ts';

const DRAWN = 48;
const KEPT = 8;

/** Up to eight drawn scenes as JPEGs of at most so many bytes; of 48, one has less than 12 kB, a quarter less than 25, and none over 130. */
export async function cameraPictures(maxBytes: number): Promise<Uint8Array[]> {
  const drawn = await drawnPictures(DRAWN);
  return drawn.filter(({ byteLength }) => byteLength <= maxBytes).slice(0, KEPT);
}
