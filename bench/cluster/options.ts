import { homedir } from 'node:os';
import { join } from 'node:path';
import { integer, string, valueOr } from '../../cli/options.ts';

/** Options of everything that compares an emulated cluster with one of its devices. */
export const comparisonOptions = {
  pairs: valueOr('--pairs <n>', 'frames of each side, in turn', integer(2, 1000), 15),
  warmUp: valueOr(
    '--warm-up <n>',
    'frames before the first one that is measured, without limits of CPU time: until then code is not compiled',
    integer(1, 10_000),
    250,
  ),
  cache: valueOr(
    '--cache <folder>',
    'where networks and the state of nodes stay between runs',
    string,
    join(homedir(), '.cache', 'tessera-bench'),
  ),
};
