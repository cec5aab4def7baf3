import type { Model } from '../../shared/onnx/model.ts';
import { ALEXNET } from './alexnet.ts';
import type { Architecture } from './architecture.ts';
import { NetworkBuilder } from './builder.ts';
import { CHARCNN } from './charcnn.ts';
import { DENSENET } from './densenet.ts';
import { GATED } from './gated.ts';
import { INCEPTION } from './inception.ts';
import { INCEPTION_RESNET } from './inception-resnet.ts';
import { MOBILE } from './mobile.ts';
import { NASNET } from './nasnet.ts';
import { RESNET } from './resnet.ts';
import { VGG } from './vgg.ts';
import { YOLO } from './yolo.ts';

/** A network of the zoo. */
export interface ZooNetwork extends Pick<Architecture, 'input' | 'task' | 'source'> {
  /**
   * Makes the network with weights of the seed (default 1), with channels scaled by `width` (default 1), and for an
   * input of another shape where one is given. Weights are made when their bytes are first read.
   */
  build(options?: { readonly width?: number; readonly seed?: number; readonly input?: readonly number[] }): Model;
}

const FAMILIES = [ALEXNET, VGG, RESNET, DENSENET, INCEPTION, INCEPTION_RESNET, MOBILE, NASNET, YOLO, CHARCNN, GATED];

/** The architectures of the papers that Tessera brings together, by name. */
export const ZOO: ReadonlyMap<string, ZooNetwork> = new Map(
  FAMILIES.flatMap((family) => Object.entries(family)).map(([name, { input, task, source, layers }]) => [
    name,
    {
      input,
      task,
      source,
      build(options = {}) {
        const net = new NetworkBuilder(name, options.input ?? input, options);
        return net.model(layers(net));
      },
    },
  ]),
);
