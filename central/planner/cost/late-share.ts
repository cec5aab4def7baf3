/** The error function (Abramowitz and Stegun, 7.1.26); its error is below 1.5e-7. */
function erf(x: number): number {
  const t = 1 / (1 + 0.327_591_1 * Math.abs(x));
  const tail =
    ((((1.061_405_429 * t - 1.453_152_027) * t + 1.421_413_741) * t - 0.284_496_736) * t + 0.254_829_592) * t;
  return Math.sign(x) * (1 - tail * Math.exp(-x * x));
}

/**
 * Share (0..1) of frames that take longer than the deadline, where the latency is normally distributed; null without a
 * deadline, and without a measured spread.
 */
export function lateShare(
  { ms, variance }: { readonly ms: number; readonly variance: number },
  deadlineMs: number | undefined,
  isMeasured: boolean,
): number | null {
  if (deadlineMs === undefined || !isMeasured) return null;
  if (variance === 0) return ms > deadlineMs ? 1 : 0;
  return (1 - erf((deadlineMs - ms) / Math.sqrt(2 * variance))) / 2;
}
