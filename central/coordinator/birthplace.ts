import { TOPIC } from '../../shared/plan/plan.ts';
import { isPlaced, isReady } from './may-run.ts';
import type { Frame, Node, PartRun, PlanRun, State } from './state.ts';

/**
 * Frames that were born at nodes. A frame stays where it was born if the plan lets that node run all parts that read it:
 * they are whole stages that may run there, or parts that are pinned to it or may run nowhere else. Otherwise, and once a
 * part of it has to run elsewhere, central takes the picture, and the frame is like any other.
 *
 *   at its node --it cannot be opened there, or a part that reads it cannot run there--> taken
 *   taken --frame-taken: the picture is here--> decoded --frame-opened--> at central
 *   at its node, taken --the node leaves or restarts, and a part that reads it has to run--> the frame ends
 *
 * Where the plan's `source` is `topic`, frames from topics are at central, and besides at the nodes that read the topic too
 * and were in time.
 */

/** The node at which a new frame stays; undefined where it is central. */
export function placeOf(s: State, run: PlanRun, born: Frame['born']): string | undefined {
  const node = born === null ? undefined : s.nodes.get(born.node);
  if (node === undefined || !node.holdsFrames) return undefined;
  const stays = run.plan.stages.every((stage) => {
    const readers = run.facts.stages[stage.id]!.parts.filter((part) => part.reads_frame);
    if (readers.length === 0) return true;
    if (!isReady(node, run, stage.id) || !readers.every(({ t_id }) => isPlaced(node, stage.on, t_id))) return false;
    return (
      stage.split.kind === 'whole' ||
      stage.on.parts !== undefined ||
      ('nodes' in stage.on && stage.on.nodes.length === 1 && stage.on.nodes !== '*')
    );
  });
  return stays ? node.id : undefined;
}

/** The nodes that read a frame's topic themselves: those that are ready for a stage that reads frames, if the plan says so. */
export function readersOf(s: State, run: PlanRun, born: Frame['born']): string[] {
  if (run.plan.source !== TOPIC || born !== null) return [];
  const stages = run.plan.stages.filter(({ id }) => run.facts.stages[id]!.parts.some((part) => part.reads_frame));
  const reads = (node: Node): boolean =>
    node.holdsFrames && stages.some(({ id, on }) => isPlaced(node, on) && isReady(node, run, id));
  return [...s.nodes.values()].filter(reads).map(({ id }) => id);
}

/** Whether a node has the frame's own tensors. */
export function hasFrame({ at, copies }: Frame, node: Node): boolean {
  return !node.isLocal && (at === node.id || copies.get(node.id) === node.boot_id);
}

/** Whether a part can be given to a node as far as the frame's place is concerned. */
export function hasFrameFor(s: State, frame: Frame, part: PartRun, node: Node): boolean {
  return !part.facts.reads_frame || frame.at === s.central.id || frame.at === node.id;
}

/** Has central take a frame from the node where it was born. */
export function takeFrame(s: State, frame: Frame): void {
  if (frame.isTaken) return;
  frame.isTaken = true;
  s.effects.push({ type: 'take-frame', i_id: frame.i_id });
}

/** Central has the picture of a frame; of a frame with sections it has taken it once for all of them. */
export function onTaken(frame: Frame): void {
  frame.isAway = false;
  if (frame.section !== null) frame.section.of.isAway = false;
}

/** Whether the node that alone has a frame left or was restarted, and the frame is still needed. */
export function isSourceLost(s: State, { born, isAway, section, phase, stages }: Frame): boolean {
  if (born === null || !(section?.of.isAway ?? isAway) || phase === 'finishing') return false;
  const node = s.nodes.get(born.node);
  if (node !== undefined && node.presence !== 'offline' && node.boot_id === born.boot_id) return false;
  const isNeeded = ({ facts, state }: PartRun): boolean =>
    facts.reads_frame && state !== 'done' && state !== 'moving' && state !== 'missing';
  return phase === 'opening' || stages.some(({ parts }) => parts.some(isNeeded));
}
