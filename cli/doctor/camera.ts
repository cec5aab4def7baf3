import type { SourceReport } from '../../shared/protocol/messages/camera.ts';
import { type Check, checksOf } from './check.ts';

/** What came of trying a camera. */
export interface CameraFacts {
  readonly name: string;
  /** The last report of its source; undefined where it said nothing in time. */
  readonly report: SourceReport | undefined;
  /** The picture as it would become a frame, and where it lies; undefined where none came. */
  readonly picture:
    | { readonly width: number; readonly height: number; readonly bytes: number; readonly file: string }
    | undefined;
  /** For how long it was tried, seconds. */
  readonly waited_s: number;
}

/** CPU of a decoder, percent of a core, beyond which a small computer has little left for networks. */
const MUCH_CPU = 50;

const { ok, warn, fail } = checksOf('camera');

/** Judges a camera that was tried. */
export function judgeCamera({ name, report, picture, waited_s }: CameraFacts): Check[] {
  if (picture === undefined) {
    const why = report?.reason ?? `no picture came within ${waited_s} s`;
    return [fail(name, why, 'correct its `source`; docs/home.md lists what it may be')];
  }
  const { width, height, bytes, file } = picture;
  const kilobytes = Math.round(bytes / 1000);
  const { codec, cpu_percent, warnings = [] } = report ?? {};
  const stream = codec === undefined ? '' : `, of a stream of ${report!.width}x${report!.height} in ${codec}`;
  return [
    ok(name, `a picture of ${width}x${height} pixels, ${kilobytes} kB${stream}: ${file}`),
    ...warnings.map((text) => warn('stream', text.split(': ')[0]!, text.split(': ').slice(1).join(': '))),
    ...(cpu_percent === undefined ? [] : [judgeCost(cpu_percent)]),
  ];
}

function judgeCost(percent: number): Check {
  const text = `decoding it takes ${Math.round(percent)} % of a core`;
  if (percent <= MUCH_CPU) return ok('cost', text);
  return warn('cost', text, 'name its low-resolution stream, or set the camera to H.264 and fewer frames a second');
}
