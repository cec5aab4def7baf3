import { TesseraError } from '../../shared/errors.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import { decodeLogits, decodeSoftmax } from './classify.ts';
import { type Answer, type Decoder, type FrameView, NOTHING } from './decoder.ts';
import { decodeEnd2End } from './end2end.ts';
import { decodeFastestdet } from './fastestdet.ts';
import { decodeNanodet } from './nanodet.ts';
import { decodeRetinaface } from './retinaface.ts';
import { decodeSegment } from './segment.ts';
import { decodeSsd } from './ssd.ts';
import { decodeUltraface } from './ultraface.ts';
import { decodeYolo, decodeYolov5, decodeYolov8, decodeYolox } from './yolo.ts';

/** Images and raw outputs have no predictions; apps request the tensors on `.../tensor`. */
const decodeNothing: Decoder = () => NOTHING;

/** Every decoder by its name in `output.decoder`. A new one is a file here, a name in shared/model/card-schema.ts and a test. */
const DECODERS: Record<ModelCard['output']['decoder'], Decoder> = {
  softmax: decodeSoftmax,
  logits: decodeLogits,
  fastestdet: decodeFastestdet,
  ultraface: decodeUltraface,
  retinaface: decodeRetinaface,
  yolo: decodeYolo,
  yolov5: decodeYolov5,
  yolov8: decodeYolov8,
  yolox: decodeYolox,
  end2end: decodeEnd2End,
  nanodet: decodeNanodet,
  ssd: decodeSsd,
  none: decodeNothing,
};

/**
 * Decodes the outputs of a frame. `outputs` is keyed by the graph's names, in its order. Throws TesseraError:
 * TESSERA_MODEL_CARD where the outputs do not fit the card's decoder, TESSERA_SHAPE where boxes are decoded and the
 * card does not give the input's shape.
 */
export function decodeTask(
  outputs: ReadonlyMap<string, Tensor>,
  card: ModelCard,
  labels: readonly string[],
  frame: FrameView,
): Answer {
  const names = card.output.tensors.length > 0 ? card.output.tensors : [...outputs.keys()];
  const ordered = names.map((name) => {
    const tensor = outputs.get(name);
    if (tensor === undefined)
      throw new TesseraError('TESSERA_MODEL_CARD', `model "${card.name}": output.tensors names "${name}"`, {
        hint: `the network's outputs are ${[...outputs.keys()].join(', ')}`,
      });
    return { name, tensor };
  });
  const decode = card.task === 'segment' ? decodeSegment : DECODERS[card.output.decoder];
  return decode({ outputs: ordered, card, labels, frame });
}
