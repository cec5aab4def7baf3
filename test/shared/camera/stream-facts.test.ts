import { expect, test } from 'vitest';
import { factsOfLine, streamWarnings } from '../../../shared/camera/stream-facts.ts';

/** Lost if these fail: nobody learns why a camera costs a whole processor. */

test('codec, size and rate are read from what ffmpeg says', () => {
  expect(
    factsOfLine('  Stream #0:0: Video: hevc (Main), yuvj420p(pc, bt709), 2560x1440 [SAR 1:1 DAR 16:9], 25 fps, 25 tbr'),
  ).toEqual({ codec: 'hevc', width: 2560, height: 1440, fps: 25 });
  expect(
    factsOfLine('  Stream #0:1(und): Video: h264 (High) (avc1 / 0x31637661), yuv420p, 640x360, 14.99 fps'),
  ).toEqual({
    codec: 'h264',
    width: 640,
    height: 360,
    fps: 14.99,
  });
  expect(factsOfLine('  Stream #0:0[0x1]: Video: mjpeg, yuvj422p, 1280x720, 30 fps, 30 tbr')).toMatchObject({
    codec: 'mjpeg',
    width: 1280,
  });
  expect(factsOfLine('  Stream #0:1: Audio: aac, 8000 Hz, mono')).toBeUndefined();
});

test('H.265, and pictures that are much larger than needed, are warned about', () => {
  expect(streamWarnings({ codec: 'hevc', width: 640, height: 360 }, 480)).toEqual([expect.stringContaining('H.265')]);
  expect(streamWarnings({ codec: 'h264', width: 3840, height: 2160 }, 480)).toEqual([
    expect.stringContaining('substream'),
  ]);
  expect(streamWarnings({ codec: 'h264', width: 3840, height: 2160 }, undefined)).toEqual([]);
  expect(streamWarnings({ codec: 'h264', width: 1280, height: 720 }, 480)).toEqual([]);
});
