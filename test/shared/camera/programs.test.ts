import { expect, test } from 'vitest';
import { listsJpegs, programOf } from '../../../shared/camera/programs.ts';
import { parseSource, type SourceName } from '../../../shared/camera/source-name.ts';

/** Lost if these fail: a password can be read in the list of processes, or a decoder makes pictures that nobody needs. */

type Read = Parameters<typeof programOf>[0];
const program = (text: string, fps?: number, side?: number) =>
  programOf(parseSource(text) as Exclude<SourceName, string> as Read, { fps, side });
const usb = (writesJpegs: boolean) =>
  programOf({ kind: 'usb', device: '/dev/video0', writesJpegs }, { fps: 5, side: 480 }).args.join(' ');

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
    "select='if(gte(t,ld(0))+lt(t,ld(0)-0.8),st(0,if(gte(t,ld(0)),max(ld(0),t-0.2),t)+0.4);1)',setpts=1000*N/TB,scale=w='if(gt(iw,ih),-2,min(iw,480))':h='if(gt(iw,ih),min(ih,480),-2)'",
  );
  expect(program('rtsp://cam/live').args).not.toContain('-vf');
});

test('the JPEGs of a USB camera are copied; one that writes none is converted', () => {
  expect(usb(true)).toContain('-f v4l2 -input_format mjpeg -i /dev/video0 -c copy -f mjpeg -');
  expect(usb(false)).toMatch(/-f v4l2 -i \/dev\/video0 -vf select=.* -c:v mjpeg -q:v 4 -$/);
});

test('whether a USB camera writes JPEGs is read from the list of its formats', () => {
  const line = (kind: string, format: string, name: string) =>
    `[video4linux2,v4l2 @ 0x55d0c0] ${kind}: ${format} : ${name} : 640x480 1280x720\n`;
  const yuyv = line('Raw       ', '    yuyv422', '          YUYV 4:2:2');
  const unknown = line('Raw       ', 'Unsupported', '  8-bit Bayer BGBG/GRGR');
  expect(listsJpegs(yuyv + line('Compressed', '      mjpeg', '         Motion-JPEG'))).toBe(true);
  expect(listsJpegs(`${unknown}${yuyv}/dev/video0: Immediate exit requested`)).toBe(false);
  expect(listsJpegs('/dev/video0: Device or resource busy')).toBeUndefined();
});

test('a video is read in a loop, whatever its name begins with', () => {
  expect(program('-x.mp4').args.join(' ')).toContain('-re -stream_loop -1 -i file:-x.mp4');
});

test("a Raspberry Pi's camera gets rate and size", () => {
  const { command, args } = program('rpicam:1', 5, 480);
  expect(command).toBe('rpicam-vid');
  expect(args.join(' ')).toContain('--camera 1 --framerate 5 --width 640 --height 480 -o -');
});
