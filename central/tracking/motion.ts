/**
 * The Kalman filter of a box with constant velocity, as in SORT (Bewley et al., ICIP 2016) with the state and noise of
 * DeepSORT (Wojke et al., ICIP 2017): centre, aspect ratio and height. All noise is independent by coordinate, so that
 * the filter of the box is four filters of a position and its velocity.
 */

/** x1, y1, x2, y2 in pixels. */
export type Box = readonly [number, number, number, number];

/** The state of one coordinate: position, velocity per step, and their covariance. */
interface Coordinate {
  readonly position: number;
  readonly velocity: number;
  readonly pp: number;
  readonly pv: number;
  readonly vv: number;
}

/** Where a box is and how it moves: x and y of the centre, width / height, height. */
export interface Motion {
  readonly x: Coordinate;
  readonly y: Coordinate;
  readonly aspect: Coordinate;
  readonly height: Coordinate;
}

/** Steps a second: DeepSORT's noise is that of one frame of a video. */
const STEPS_PER_SECOND = 30;
/** Standard deviations: of positions and velocities as shares of the box's height, of the aspect ratio absolutely. */
const POSITION = 1 / 20;
const VELOCITY = 1 / 160;
const ASPECT = { position: 1e-2, velocity: 1e-5, measured: 1e-1 } as const;

const begin = (position: number, positionStd: number, velocityStd: number): Coordinate => {
  return { position, velocity: 0, pp: positionStd ** 2, pv: 0, vv: velocityStd ** 2 };
};

/** After `n` steps, each of which adds the noise. */
function move({ position, velocity, pp, pv, vv }: Coordinate, n: number, p: number, v: number): Coordinate {
  const sum = Math.max(0, (n * (n - 1)) / 2);
  const squares = Math.max(0, ((n - 1) * n * (2 * n - 1)) / 6);
  const [noiseP, noiseV] = [p ** 2, v ** 2];
  return {
    position: position + n * velocity,
    velocity,
    pp: pp + 2 * n * pv + n * n * vv + n * noiseP + squares * noiseV,
    pv: pv + n * vv + sum * noiseV,
    vv: vv + n * noiseV,
  };
}

function correct({ position, velocity, pp, pv, vv }: Coordinate, measured: number, std: number): Coordinate {
  const all = pp + std ** 2;
  const [gainP, gainV] = [pp / all, pv / all];
  const off = measured - position;
  return {
    position: position + gainP * off,
    velocity: velocity + gainV * off,
    pp: (1 - gainP) * pp,
    pv: (1 - gainP) * pv,
    vv: vv - gainV * pv,
  };
}

function measure([x1, y1, x2, y2]: Box): { x: number; y: number; aspect: number; height: number } {
  const height = Math.max(1, y2 - y1);
  return { x: (x1 + x2) / 2, y: (y1 + y2) / 2, aspect: Math.max(0.01, (x2 - x1) / height), height };
}

/** The motion of a box that was seen once. */
export function beginMotion(box: Box): Motion {
  const { x, y, aspect, height } = measure(box);
  const [p, v] = [2 * POSITION * height, 10 * VELOCITY * height];
  return {
    x: begin(x, p, v),
    y: begin(y, p, v),
    aspect: begin(aspect, ASPECT.position, ASPECT.velocity),
    height: begin(height, p, v),
  };
}

/** The motion `seconds` later. */
export function predictMotion({ x, y, aspect, height }: Motion, seconds: number): Motion {
  const n = seconds * STEPS_PER_SECOND;
  const [p, v] = [POSITION * height.position, VELOCITY * height.position];
  const next = move(height, n, p, v);
  return {
    x: move(x, n, p, v),
    y: move(y, n, p, v),
    aspect: move(aspect, n, ASPECT.position, ASPECT.velocity),
    height: { ...next, position: Math.max(1, next.position) },
  };
}

/** The motion after the box was seen. */
export function correctMotion(motion: Motion, box: Box): Motion {
  const { x, y, aspect, height } = measure(box);
  const std = POSITION * motion.height.position;
  return {
    x: correct(motion.x, x, std),
    y: correct(motion.y, y, std),
    aspect: correct(motion.aspect, aspect, ASPECT.measured),
    height: correct(motion.height, height, std),
  };
}

/** The box of a motion. */
export function boxOf({ x, y, aspect, height }: Motion): Box {
  const halfHeight = height.position / 2;
  const halfWidth = Math.max(0.5, aspect.position * halfHeight);
  return [x.position - halfWidth, y.position - halfHeight, x.position + halfWidth, y.position + halfHeight];
}

/** Intersection over union of two boxes, 0 to 1. */
export function overlap(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const both = width * height;
  return both / (areaOf(a) + areaOf(b) - both);
}

/** Square pixels of a box. */
export function areaOf([x1, y1, x2, y2]: Box): number {
  return Math.max(0, x2 - x1) * Math.max(0, y2 - y1);
}
