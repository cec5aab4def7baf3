import { expect, test } from 'vitest';
import { problemOfProfile } from '../../../central/planner/profile/problem.ts';
import { type Ranked, rank } from '../../../central/planner/query/rank.ts';
import { exhaustive } from '../../../central/planner/strategies/exhaustive.ts';
import { pictureSvg } from '../../../cli/plan/picture.ts';
import { changeLines, costLines, rankedLines, reportLines, timelineLines } from '../../../cli/plan/report.ts';
import { bareProfile } from '../../central/planner/profile/profiles.ts';

const problem = problemOfProfile(bareProfile(), undefined, { top: 50, use: ['pi', 'box', 'vm'] });
const ranking = rank(problem, [{ strategy: 'exhaustive', proposed: exhaustive.propose(problem), compared: 1 }]);
const [best] = ranking.ranked as readonly [Ranked];

test('a ranking is a table with the blocks of every stage', () => {
  expect(rankedLines(problem, ranking.ranked)).toEqual([
    '   latency    sent  strategy    blocks',
    '1    90 ms  4.5 kB  exhaustive  0 on pi, 1 on box, 2 on vm',
  ]);
});

test('the best plan is explained by what each stage and hop costs, in order', () => {
  expect(costLines(problem, best)).toEqual([
    '  40 ms  pi computes block 0',
    '  9 ms  pi sends 4 kB to box: a',
    '  20 ms  box computes block 1',
    '  20 ms  box sends 500 bytes to vm: b',
    '  1 ms  vm computes block 2',
  ]);
});

test('the timeline has a bar for each machine and transfer', () => {
  const lines = timelineLines(best);
  expect(lines.map((line) => line.trim().split(/ +\|/)[0])).toEqual(['pi', 'pi > box', 'box', 'box > vm', 'vm']);
  expect(lines[0]).toMatch(/\|#{25} +\|$/);
  expect(lines[4]).toMatch(/#\|$/);
});

test('changes name the speed now and then, and the plan that wins', () => {
  expect(
    changeLines(problem, [
      { kind: 'link', name: 'pi > box', from: 8, to: 3.14, winner: best },
      { kind: 'node', name: 'vm', from: 1, to: 2.5, winner: best },
      { kind: 'node', name: 'pi', from: 1, to: 0.5, winner: best },
    ]),
  ).toEqual([
    '  with 3.1 Mbps instead of 8 on the link pi > box: 0 on pi, 1 on box, 2 on vm',
    '  with vm 2.5 times as fast: 0 on pi, 1 on box, 2 on vm',
    '  with pi at 50 % of its speed: 0 on pi, 1 on box, 2 on vm',
  ]);
  expect(reportLines(problem, ranking, 5, []).at(-1)).toContain('16 times as fast');
});

test('the picture has axes with units, and the plans by name that no other one beats', () => {
  const all = problemOfProfile(bareProfile(), undefined, { top: 50 });
  const { ranked } = rank(all, [{ strategy: '', proposed: exhaustive.propose(all), compared: 1 }]);
  const svg = pictureSvg(all, 'Plans for <small>', ranked);
  expect(svg).toMatch(/^<svg /);
  for (const text of [
    'latency of a frame (ms)',
    'bytes between machines',
    'Plans for &lt;small&gt;',
    '100 ms',
    '0-2 on pi',
    '0-2 on box',
  ])
    expect(svg).toContain(text);
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});

test('a picture of one plan that sends nothing can be drawn', () => {
  const alone = problemOfProfile({ ...bareProfile(), links: [], nodes: bareProfile().nodes.slice(0, 1) });
  const { ranked } = rank(alone, [{ strategy: '', proposed: exhaustive.propose(alone), compared: 1 }]);
  expect(pictureSvg(alone, 'one', ranked)).not.toMatch(/NaN|Infinity/);
});
