import sharp from 'sharp';
import type { Scene } from '../shared/scene/scene.ts';

/** What the bundled model takes: three planes (red, green, blue) of bytes, each `size` x `size`. */
export interface NetworkPicture {
  readonly classIndex: number;
  readonly planes: Uint8Array;
}

/** The JPEG quality of a seed's picture, 70 to 95: cameras differ. */
export function jpegQualityOf(seed: number): number {
  return 70 + (seed % 26);
}

/**
 * Takes a scene the way every frame goes: encoded as JPEG by the camera, decoded and stretched to the network's input
 * (model.yaml: `resize: stretch`) by central.
 */
export async function asNetworkSees(scene: Scene, size: number, quality: number): Promise<NetworkPicture> {
  const { width, height } = scene;
  const jpeg = await sharp(scene.rgb, { raw: { width, height, channels: 3 } })
    .jpeg({ quality })
    .toBuffer();
  const pixels = await sharp(jpeg).resize(size, size, { fit: 'fill' }).raw().toBuffer();
  const area = size * size;
  const planes = new Uint8Array(3 * area);
  for (let at = 0; at < area; at++) {
    planes[at] = pixels[3 * at]!;
    planes[area + at] = pixels[3 * at + 1]!;
    planes[2 * area + at] = pixels[3 * at + 2]!;
  }
  return { classIndex: scene.classIndex, planes };
}
