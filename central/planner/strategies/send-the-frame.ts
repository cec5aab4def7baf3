import { CENTRAL, type Plan, TOPIC } from '../../../shared/plan/plan.ts';
import { composePlan, wholeStage } from '../compose.ts';
import { refusalWithoutTiles } from '../cuts/wanted.ts';
import { rank } from '../query/rank.ts';
import { isNoPlan, type NoPlan, type Problem, type Strategy } from '../strategy.ts';
import { fleetOf } from '../tiling/fleet.ts';

const name = 'send-the-frame';

/**
 * The whole network on a machine to which the frame travels: as its values, or as the picture (JPEG) that the camera
 * published, which the machine reads from the camera's topic. Most cuts with codecs lose to it (SC2, TMLR 2023), so it is what
 * they are compared with.
 */
export const sendTheFrame: Strategy = {
  name,
  propose(problem) {
    const fleet = refusalWithoutTiles(problem) ?? fleetOf(problem);
    if (isNoPlan(fleet)) return fleet;
    const others = fleet.machines.filter(({ site, node }) => site !== fleet.source && node.splits.includes('whole'));
    if (others.length === 0)
      return { kind: 'impossible', reason: 'there is no machine but that at which frames arrive' };
    const proposed = others.flatMap(({ node }) => plansTo(problem, node.id));
    const { ranked, refusals } = rank(problem, [{ strategy: name, proposed, compared: proposed.length }]);
    if (ranked.length > 0) return ranked.slice(0, problem.constraints.top ?? 1).map(({ plan }) => plan);
    const answer: NoPlan = { kind: 'impossible', reason: refusals[0]!.reason };
    return answer;
  },
};

function plansTo(problem: Problem, id: string): Plan[] {
  const stage = wholeStage(problem, { mode: 'share', nodes: [id] });
  const raw = composePlan({ ...problem, source: CENTRAL }, name, `the frame as its values to ${id}`, [stage]);
  // Frames that are born at a node never were on a topic, and plans have no codec for them.
  if (problem.source !== CENTRAL && problem.source !== TOPIC) return [raw];
  const { picture } = problem;
  const how = picture?.quality === undefined ? '' : `, JPEG of quality ${picture.quality}`;
  return [raw, composePlan({ ...problem, source: TOPIC }, name, `the camera's picture${how} to ${id}`, [stage])];
}
