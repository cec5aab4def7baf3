import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import { encodeJpeg, encodePng } from '../../shared/runtime/image.ts';
import type { SentFrame } from '../testbed/driver-process.ts';

/** A frame for an input: a drawn picture of its size as JPEG, or for one channel a picture of characters as PNG. */
export async function frameOf([, channels, height, width]: readonly number[]): Promise<SentFrame> {
  const size = { width: width!, height: height! };
  if (channels === 1) {
    const characters = new Uint8Array(size.width * size.height);
    for (let at = 0; at < size.width; at++) characters[((at * 31) % size.height) * size.width + at] = 255;
    return { format: 'png', base64: base64(await encodePng(characters, size, 1)) };
  }
  const { rgb } = drawScene(seedRanges.heldOut.from, size);
  return { format: 'jpeg', base64: base64(await encodeJpeg(rgb, size.width, size.height, 90)) };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
