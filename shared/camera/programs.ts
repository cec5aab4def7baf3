import type { SourceName } from './source-name.ts';

/** A program that writes JPEGs to its standard output, and what it reads from its standard input. */
export interface Program {
  readonly command: 'ffmpeg' | 'rpicam-vid';
  readonly args: readonly string[];
  readonly input: string;
}

/** What is wanted of a camera. */
export interface Wanted {
  /** Pictures a second at most. */
  readonly fps: number | undefined;
  /** The shorter side in pixels, at most; undefined: as the camera sends it. */
  readonly side: number | undefined;
}

/** ffmpeg gives up a silent connection after so long, microseconds. */
const SILENT_US = 10_000_000;

const FFMPEG = ['-hide_banner', '-loglevel', 'info', '-nostats'];
const JPEGS = ['-an', '-f', 'image2pipe', '-c:v', 'mjpeg', '-q:v', '4', '-'];

/**
 * The program that reads a source. URLs go to ffmpeg by its standard input, as a list of one file: the arguments of a
 * process can be read by every user of the machine, and URLs of cameras have passwords.
 */
export function programOf(
  source: Extract<SourceName, { kind: 'rtsp' | 'usb' | 'rpicam' | 'path' }>,
  wanted: Wanted,
): Program {
  switch (source.kind) {
    case 'rtsp': {
      const { href, protocol } = source.url;
      // rtsps is RTSP in TLS, which ffmpeg carries in TCP by itself.
      const transport = protocol === 'rtsp:' ? ['option rtsp_transport tcp'] : [];
      const list = ['ffconcat version 1.0', `file '${href.replaceAll("'", '%27')}'`, ...transport];
      const options = [`option timeout ${SILENT_US}`, 'option fflags nobuffer', ''];
      const protocols = 'pipe,fd,rtsp,rtsps,rtp,srtp,tcp,udp,tls,crypto';
      const reader = ['-f', 'concat', '-safe', '0', '-protocol_whitelist', protocols, '-i', 'pipe:0'];
      return {
        command: 'ffmpeg',
        args: [...FFMPEG, '-fflags', 'nobuffer', '-flags', 'low_delay', ...reader, ...filters(wanted), ...JPEGS],
        input: [...list, ...options].join('\n'),
      };
    }
    case 'path': {
      const file = ['-re', '-stream_loop', '-1', '-i', `file:${source.path}`];
      return { command: 'ffmpeg', args: [...FFMPEG, '-nostdin', ...file, ...filters(wanted), ...JPEGS], input: '' };
    }
    case 'usb': {
      // The camera's own JPEGs, copied: decoding and encoding them again would cost a processor.
      const copy = ['-f', 'v4l2', '-input_format', 'mjpeg', '-i', source.device, '-c', 'copy', '-f', 'mjpeg', '-'];
      return { command: 'ffmpeg', args: [...FFMPEG, '-nostdin', ...copy], input: '' };
    }
    case 'rpicam': {
      const rate = wanted.fps === undefined ? [] : ['--framerate', String(wanted.fps)];
      const { side } = wanted;
      const size = side === undefined ? [] : ['--width', String(even((side * 4) / 3)), '--height', String(even(side))];
      const always = ['-t', '0', '-n', '--flush', '--codec', 'mjpeg', '--camera', String(source.number)];
      return { command: 'rpicam-vid', args: [...always, ...rate, ...size, '-o', '-'], input: '' };
    }
  }
}

/** Fewer pictures, then smaller ones: both before anything is encoded. The aspect ratio stays, sides are even. */
function filters({ fps, side }: Wanted): string[] {
  const rate = fps === undefined ? [] : [`fps=${fps}`];
  const size =
    side === undefined ? [] : [`scale=w='if(gt(iw,ih),-2,min(iw,${side}))':h='if(gt(iw,ih),min(ih,${side}),-2)'`];
  const all = [...rate, ...size];
  return all.length === 0 ? [] : ['-vf', all.join(',')];
}

const even = (value: number): number => 2 * Math.round(value / 2);
