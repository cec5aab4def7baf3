import { parentPort } from 'node:worker_threads';
import { encodeJpeg } from '../../runtime/image.ts';
import { answerCalls, buffersOf, ownBytes } from '../../runtime/worker-call.ts';
import { drawScene } from '../scenes/scene.ts';

/** Draws scenes and makes JPEGs of them, off the thread that handles MQTT. */
answerCalls(parentPort!, {
  draw: async (seed: number) => {
    const { label, width, height, rgb } = drawScene(seed);
    const jpeg = ownBytes(await encodeJpeg(rgb, width, height, 90));
    return { value: { label, jpeg }, transfer: buffersOf([jpeg]) };
  },
});
