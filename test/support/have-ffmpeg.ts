import { execFileSync } from 'node:child_process';

/** Why tests that need ffmpeg are skipped; undefined where it is installed. */
export const NO_FFMPEG = (() => {
  try {
    execFileSync('ffmpeg', ['-version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'ffmpeg is not installed';
  }
})();
