import type { Scene } from '../../shared/camera/scenes/scene.ts';
import type { PictureInput } from '../../shared/model/picture-placement.ts';
import { decodeFrame, encodeJpeg } from '../../shared/runtime/image.ts';

/** The JPEG quality of a seed's picture, 70 to 95: cameras differ. */
function jpegQualityOf(seed: number): number {
  return 70 + (seed % 26);
}

/** The preprocessing of the bundled model: model.yaml has the same. */
export function sceneInput(size: number): PictureInput {
  return { width: size, height: size, color: 'rgb', resize: 'stretch', crop: 1 };
}

/** Processes the scene of a seed like every frame, as JPEG and through `decodeFrame`: planes [3, h, w] of bytes. */
export async function asNetworkSees(scene: Scene, seed: number, input: PictureInput): Promise<Uint8Array> {
  const jpeg = await encodeJpeg(scene.rgb, scene.width, scene.height, jpegQualityOf(seed));
  const { data } = await decodeFrame(jpeg, input);
  const area = input.width * input.height;
  const planes = new Uint8Array(3 * area);
  for (let at = 0; at < area; at++) {
    planes[at] = data[3 * at]!;
    planes[area + at] = data[3 * at + 1]!;
    planes[2 * area + at] = data[3 * at + 2]!;
  }
  return planes;
}
