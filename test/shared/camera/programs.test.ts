import { expect, test } from 'vitest';
import { programOf } from '../../../shared/camera/programs.ts';
import { parseSource, type SourceName } from '../../../shared/camera/source-name.ts';

/** Lost if these fail: a password can be read in the list of processes, or a decoder makes pictures that nobody needs. */

type Read = Parameters<typeof programOf>[0];
const program = (text: string, fps?: number, side?: number) =>
  programOf(parseSource(text) as Exclude<SourceName, string> as Read, { fps, side });

test('the address of a camera is no argument of ffmpeg, and cannot add lines to what it reads', () => {
  const { command, args, input } = program("rtsp://me:pl4n'ted%0Afile%20x@cam/live?key=s3cret", 5, 480);
  expect(command).toBe('ffmpeg');
  expect(args.join(' ')).not.toMatch(/pl4n|s3cret|cam/);
  expect(input.split('\n')[1]).toBe("file 'rtsp://me:pl4n%27ted%0Afile%20x@cam/live?key=s3cret'");
  expect(input).toContain('option rtsp_transport tcp\n');
});

test('frames are left out and made smaller before they are encoded', () => {
  const { args } = program('rtsp://cam/live', 2.5, 480);
  expect(args[args.indexOf('-vf') + 1]).toBe(
    "fps=2.5,scale=w='if(gt(iw,ih),-2,min(iw,480))':h='if(gt(iw,ih),min(ih,480),-2)'",
  );
  expect(program('rtsp://cam/live').args).not.toContain('-vf');
});

test('a USB camera is copied, a video is read in a loop, whatever its name begins with', () => {
  expect(program('/dev/video0', 5, 480).args.join(' ')).toContain(
    '-f v4l2 -input_format mjpeg -i /dev/video0 -c copy -f mjpeg -',
  );
  expect(program('-x.mp4').args.join(' ')).toContain('-re -stream_loop -1 -i file:-x.mp4');
});

test("a Raspberry Pi's camera gets rate and size", () => {
  const { command, args } = program('rpicam:1', 5, 480);
  expect(command).toBe('rpicam-vid');
  expect(args.join(' ')).toContain('--camera 1 --framerate 5 --width 640 --height 480 -o -');
});
