import { beforeEach, describe, expect, it } from 'vitest';
import type { EndedFrame } from '../../../central/effects.ts';
import { apiFrame } from '../../../central/http/api.ts';
import { SHOWN_BYTES, SHOWN_CAMERAS, SHOWN_MS, SHOWN_SIDE, ShownFrames } from '../../../central/http/shown-frames.ts';
import { encodeJpeg, encodePng, pictureSize } from '../../../shared/runtime/image.ts';
import { emptyResult } from '../../support/result-object.ts';

let now: number;
let frames: ShownFrames;
let told: string[];
beforeEach(() => {
  now = 0;
  told = [];
  frames = new ShownFrames(() => now);
  frames.onFrame = (camera) => told.push(camera);
});

function end(camera: string, id: string, envelope: object, wait = SHOWN_MS): void {
  now += wait;
  const frame = {
    arrival: { envelope: { v: 1, d: new Uint8Array(0), ...envelope } },
    stages: [
      { id: 0, split: { kind: 'tiles', padding: 'zero', rows: [2, 2], cols: [4] } },
      { id: 1, split: { kind: 'whole' } },
    ],
    size: { width: 200, height: 100 },
    model: { manifest: { picture: { width: 50, height: 50, resize: 'crop', crop: 1 } } },
    end: { trace: [], latency_ms: 1 },
  } as unknown as EndedFrame;
  frames.frameEnded(frame, emptyResult({ camera, id }));
}

describe('shown frames', () => {
  it('are the newest ones of each camera, two a second', () => {
    end('front', '1-1', { format: 'jpeg' });
    end('front', '1-2', { format: 'jpeg' }, SHOWN_MS / 2);
    end('back', '1-3', { format: 'jpeg' }, 0);
    expect(frames.newest('front')?.result.id).toBe('1-1');
    end('front', '1-4', { format: 'jpeg' });
    expect(frames.newest('front')?.result.id).toBe('1-4');
    expect(told).toEqual(['front', 'back', 'front']);
    frames.cameraForgotten('front');
    expect(frames.newest('front')).toBeUndefined();
  });

  it('say how the picture was cut, and what the network saw of it', () => {
    end('front', '1-1', { format: 'jpeg', d: Uint8Array.of(1) });
    const frame = apiFrame.parse(frames.newest('front'));
    expect(frame).toMatchObject({ picture: true, area: [50, 0, 150, 100] });
    expect(frame.stages).toEqual([
      { id: 0, split: 'tiles', rows: [2, 2], cols: [4] },
      { id: 1, split: 'whole', rows: [], cols: [] },
    ]);
  });

  it('are pictures made small, once, of every format; tensors and frames that stayed at their node have none', async () => {
    const rgb = new Uint8Array(1000 * 500 * 3).fill(100);
    const d = await encodeJpeg(rgb, 1000, 500, 90);
    end('front', '1-1', { format: 'jpeg', d });
    const picture = frames.picture('front', '1-1');
    expect(await pictureSize((await picture)!)).toEqual({ width: SHOWN_SIDE, height: SHOWN_SIDE / 2 });
    expect(frames.picture('front', '1-1')).toBe(picture);
    end('front', '1-2', { format: 'bgr', d: rgb.subarray(0, 60), shape: [4, 5, 3] });
    expect(await pictureSize((await frames.picture('front', '1-2'))!)).toEqual({ width: 5, height: 4 });
    end('front', '1-3', { format: 'png', d: await encodePng(rgb.subarray(0, 20), { width: 5, height: 4 }, 1) });
    expect(await pictureSize((await frames.picture('front', '1-3'))!)).toEqual({ width: 5, height: 4 });
    end('front', '1-4', { format: 'tensor', d: rgb });
    expect(frames.picture('front', '1-4')).toBeUndefined();
    end('front', '1-5', { format: 'jpeg' });
    expect(frames.newest('front')?.picture).toBe(false);
    expect(frames.picture('front', '1-1')).toBeUndefined();
  });

  it('have bounds: cameras that have been silent for the longest time give way', () => {
    for (let k = 0; k <= SHOWN_CAMERAS; k++) end(`camera-${k}`, `1-${k}`, { format: 'jpeg' });
    expect(frames.newest('camera-0')).toBeUndefined();
    expect(frames.newest('camera-1')).toBeDefined();
    const half = { byteLength: SHOWN_BYTES / 2 + 1 };
    end('large', '2-1', { format: 'jpeg', d: half });
    expect(frames.newest('camera-2')).toBeDefined();
    end('larger', '2-2', { format: 'jpeg', d: half });
    expect([frames.newest('camera-2'), frames.newest('large')]).toEqual([undefined, undefined]);
    expect(frames.newest('larger')).toBeDefined();
  });
});
