import { join } from 'node:path';
import type { Answer } from '../../central/tasks/decoder.ts';
import { decodeTask } from '../../central/tasks/task.ts';
import { loadModel } from '../../cli/library/library.ts';
import { channelsOf, type ModelCard, pictureShape } from '../../shared/model/card.ts';
import { FRAME_INPUT, withPreprocessing } from '../../shared/onnx/preprocess.ts';
import { resolveModel } from '../../shared/onnx/resolve.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { decodeFrame, type PictureFrame } from '../../shared/runtime/image.ts';
import { loadSession } from '../../shared/runtime/ort.ts';
import { loadModelFile } from '../../shared/runtime/package.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';

/** Outputs for one picture, what the card's decoder makes of them, and the picture's size. */
export interface Asked {
  readonly outputs: ReadonlyMap<string, Tensor>;
  readonly answer: Answer;
  readonly width: number;
  readonly height: number;
}

/** A network with its card, loaded as central loads it, which runs whole in this process. */
export interface WholeNetwork {
  readonly card: ModelCard;
  readonly labels: readonly string[];
  ask(frame: Uint8Array | PictureFrame): Promise<Asked>;
  release(): Promise<void>;
}

/** Loads a card of test/data/cards whose network lies in `data`/models. `adapt` may change the card first. */
export async function loadWhole(
  cardPath: string,
  data: string,
  adapt: (card: ModelCard) => ModelCard = (card) => card,
): Promise<WholeNetwork> {
  const loaded = await loadModel(cardPath, { modelsDirs: [], base: join(data, 'models') });
  const card = adapt(loaded.card);
  const { layout, color, resize, crop, scale, mean, std } = card.input;
  const { height, width } = pictureShape(card.input.shape!, layout)!;
  const tensor = card.input.tensor!;
  const resolved = resolveModel(await loadModelFile(loaded.modelPath));
  const model = withPreprocessing(resolved, { tensor, height, width, layout, color, scale, mean, std });
  const session = await loadSession(writeModel(model), { threads: 2 });
  const shape = [1, height, width, channelsOf(color)];
  return {
    card,
    labels: loaded.labels,
    async ask(frame) {
      const picture = await decodeFrame(frame, { width, height, color, resize, crop });
      const outputs = await session.run(new Map([[FRAME_INPUT, { dtype: 'uint8', shape, data: picture.data }]]));
      const answer = decodeTask(outputs, card, loaded.labels, picture);
      return { outputs, answer, width: picture.sourceWidth, height: picture.sourceHeight };
    },
    release: () => session.release(),
  };
}
