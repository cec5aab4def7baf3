import type { LoadRequest } from '../../central/served-model.ts';
import { loadRequestFor } from '../../cli/models.ts';
import { drawnPictures } from '../../shared/camera/live/scene-source.ts';
import { resolveConfig } from '../../shared/config/layers.ts';
import { parseCard } from '../../shared/model/card.ts';
import { NetworkBuilder } from '../zoo/builder.ts';
import type { CameraTask } from './camera-worker.ts';

/** A network to measure, and the frame that the camera sends. */
export interface Network {
  readonly name: string;
  readonly request: LoadRequest;
  readonly frame: CameraTask['frame'];
}

/** A picture of 32x32 -> two 3x3 convolutions with 8 channels, tiled -> global average and a dense layer: 0.8 MMAC. */
export function tiny(): Network {
  const side = 32;
  const net = new NetworkBuilder('tiny', [1, 3, side, side]);
  const first = net.relu(net.conv(net.input, 8, 3));
  const model = net.model([net.classify(net.relu(net.conv(first, 8, 3)), 10)]);
  const input = new Float32Array(3 * side * side).map((_, i) => Math.sin(i));
  return {
    name: 'tiny',
    request: {
      name: 'tiny',
      card: parseCard({ name: 'tiny', task: 'raw' }, 'tiny'),
      labels: [],
      model,
      picture: false,
    },
    frame: { format: 'tensor', base64: Buffer.from(input.buffer).toString('base64'), shape: [1, 3, side, side] },
  };
}

/** The bundled network on a drawn picture. */
export async function bundled(): Promise<Network> {
  const { request } = await loadRequestFor('scenes', resolveConfig([]).config);
  const [picture] = await drawnPictures(1);
  return { name: 'scenes', request, frame: { format: 'jpeg', base64: Buffer.from(picture!).toString('base64') } };
}
