import type { StreamFacts } from './source.ts';

/**
 * What a line of ffmpeg says about the video that it reads, as `Stream #0:0: Video: hevc (Main), yuv420p(tv), 2560x1440
 * [SAR 1:1 DAR 16:9], 25 fps, 25 tbr, 90k tbn`; undefined for other lines.
 */
export function factsOfLine(line: string): StreamFacts | undefined {
  const said = /Stream #\d+:\d+[^:]*: Video: (\w+)(.*)$/.exec(line);
  if (said === null) return undefined;
  const [, codec, rest] = said as unknown as [string, string, string];
  const size = /[ ,](\d{2,5})x(\d{2,5})[ ,]/.exec(`${rest} `);
  const fps = /, ([\d.]+) fps/.exec(rest)?.[1];
  return {
    codec,
    ...(size === null ? {} : { width: Number(size[1]), height: Number(size[2]) }),
    ...(fps === undefined ? {} : { fps: Number(fps) }),
  };
}

/** A picture this much larger than its models need costs decoding that a smaller stream of the camera would save. */
const MUCH = 2.5;
/** Streams up to this shorter side are cheap everywhere, pixels. */
const SMALL = 576;

/** What makes a stream needlessly expensive; `side`: the shorter side that is needed, in pixels. */
export function streamWarnings({ codec, width, height }: StreamFacts, side: number | undefined): string[] {
  const warnings: string[] = [];
  if (codec === 'hevc')
    warnings.push(
      'its stream is H.265, which costs more to decode than H.264 and has no hardware decoder in most small computers: set the camera to H.264',
    );
  const shorter = Math.min(width ?? 0, height ?? 0);
  if (side !== undefined && shorter > SMALL && shorter > MUCH * side)
    warnings.push(
      `its pictures have ${width}x${height} pixels, and ${side} along the shorter side are needed: name the camera's low-resolution stream (substream), which costs less to decode`,
    );
  return warnings;
}
