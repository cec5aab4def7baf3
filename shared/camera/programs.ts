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
  /** How an https camera proves who it is (`SourceSettings`). */
  readonly certificate?: string | undefined;
}

/** A USB camera, of which is known whether it writes JPEGs itself. */
export interface UsbCamera extends Extract<SourceName, { kind: 'usb' }> {
  readonly writesJpegs: boolean;
}

/** ffmpeg has a camera list its formats; it does so on its standard error, and ends. */
export function formatsOf(device: string): Program {
  const list = ['-f', 'v4l2', '-list_formats', 'all', '-i', device];
  return { command: 'ffmpeg', args: ['-hide_banner', '-nostdin', ...list], input: '' };
}

/**
 * Whether a list of formats has the camera's own JPEGs, as `[video4linux2,v4l2 @ 0x55d0] Compressed: mjpeg : Motion-JPEG :
 * 640x480 320x240`; undefined where it is no list.
 */
export function listsJpegs(said: string): boolean | undefined {
  const formats = [...said.matchAll(/(?:Raw|Compressed) *: *([\w ,]+?) *:/g)].map(([, format]) => format!);
  return formats.length === 0 ? undefined : formats.some((format) => /\bmjpeg\b/.test(format));
}

/** ffmpeg gives up a silent connection after so long, microseconds. */
const SILENT_US = 10_000_000;

const FFMPEG = ['-hide_banner', '-loglevel', 'info', '-nostats'];
/** As they come out of the filters: to keep a rate ffmpeg would send some of them twice. */
const JPEGS = ['-an', '-fps_mode', 'passthrough', '-f', 'image2pipe', '-c:v', 'mjpeg', '-q:v', '4', '-'];

/**
 * The program that reads a source. URLs go to ffmpeg by its standard input, as a list of one file: the arguments of a
 * process can be read by every user of the machine, and URLs of cameras have passwords.
 */
export function programOf(
  source: Extract<SourceName, { kind: 'rtsp' | 'rpicam' | 'path' }> | UsbCamera,
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
      // The camera's own JPEGs are copied: decoding and encoding them again would cost a processor.
      const format = source.writesJpegs ? ['-input_format', 'mjpeg'] : [];
      const output = source.writesJpegs ? ['-c', 'copy', '-f', 'mjpeg', '-'] : [...filters(wanted), ...JPEGS];
      const reader = ['-f', 'v4l2', ...format, '-i', source.device];
      return { command: 'ffmpeg', args: [...FFMPEG, '-nostdin', ...reader, ...output], input: '' };
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
  const rate = fps === undefined ? [] : fewer(fps);
  const size =
    side === undefined ? [] : [`scale=w='if(gt(iw,ih),-2,min(iw,${side}))':h='if(gt(iw,ih),min(ih,${side}),-2)'`];
  const all = [...rate, ...size];
  return all.length === 0 ? [] : ['-vf', all.join(',')];
}

/**
 * Leaves pictures out as `Pace.take` does, and repeats none. Variable 0 is the time, s, from which the next one is due; it is
 * due too where the camera's clock was set back. The encoder refuses times that do not rise, so they are counted anew.
 */
function fewer(fps: number): string[] {
  const period = 1 / fps;
  const next = `if(gte(t,ld(0)),max(ld(0),t-${period / 2}),t)+${period}`;
  return [`select='if(gte(t,ld(0))+lt(t,ld(0)-${2 * period}),st(0,${next});1)'`, 'setpts=1000*N/TB'];
}

const even = (value: number): number => 2 * Math.round(value / 2);
