import { parentPort } from 'node:worker_threads';
import { decodeFrame, encodeJpeg, pictureSize } from '../../runtime/image.ts';
import { answerCalls, buffersOf, ownBytes } from '../../runtime/worker-call.ts';
import { cropBox, paintMasks } from '../areas.ts';
import { SMALL } from '../motion.ts';
import type { PictureEdit } from './picture-work.ts';

const QUALITY = 90;
const WHOLE = { resize: 'stretch', crop: 1 } as const;

/** Decodes, compares and paints pictures of cameras, off the thread that handles MQTT. */
answerCalls(parentPort!, {
  small: async (bytes: Uint8Array) => {
    const { data } = await decodeFrame(bytes, { ...SMALL, ...WHOLE, color: 'gray' });
    const grey = ownBytes(data);
    return { value: grey, transfer: buffersOf([grey]) };
  },
  edit: async ({ bytes, crop, masks, side }: PictureEdit & { readonly bytes: Uint8Array }) => {
    const full = await pictureSize(bytes);
    const factor = Math.min(1, (side ?? Number.POSITIVE_INFINITY) / Math.min(full.width, full.height));
    const width = Math.max(1, Math.round(full.width * factor));
    const height = Math.max(1, Math.round(full.height * factor));
    const { data } = await decodeFrame(bytes, { width, height, ...WHOLE, color: 'rgb' });
    paintMasks(data, width, height, masks);
    const box = cropBox(crop ?? [0, 0, 1, 1], width, height);
    const rgb = new Uint8Array(box.width * box.height * 3);
    for (let y = 0; y < box.height; y++) {
      const from = ((box.top + y) * width + box.left) * 3;
      rgb.set(data.subarray(from, from + box.width * 3), y * box.width * 3);
    }
    const jpeg = ownBytes(await encodeJpeg(rgb, box.width, box.height, QUALITY));
    return { value: jpeg, transfer: buffersOf([jpeg]) };
  },
});
