import type { Failure } from '../../shared/errors.ts';
import { sectionCount } from '../../shared/model/sections.ts';
import type { QueuedFrame } from './camera-state.ts';
import type { FrameEnd } from './frame-end.ts';
import { freePayload } from './frame-queue.ts';
import { endFrame, openFrame } from './frames.ts';
import type { Node, PlanRun, SectionedFrame, State } from './state.ts';

/**
 * Accepted frames whose sections are frames of their own: opened, placed, shared and audited like any frame, but never
 * published.
 *
 *   accepted --one section after another, as open frames have room--> all opened --the last one has ended--> published
 *   any --a section fails, or a node that did one is left out--> no further section, open ones end --> published as error
 */

/** Accepts a frame whose picture is seen in sections; `nextSection` opens them. */
export function acceptSectioned(s: State, waiting: QueuedFrame, run: PlanRun): void {
  const count = sectionCount(waiting.layout!);
  const of: SectionedFrame = {
    // That of the section which is opened next.
    i_id: `${s.options.epoch}-${s.counter}`,
    waiting,
    run,
    hard_at: s.now + s.options.hard_limit_ms,
    count,
    opened: 0,
    isAway: waiting.born !== null,
    ends: [],
    failure: undefined,
  };
  // The frame itself uses the plan and the payload too, between two sections.
  run.open++;
  s.sectioned.add(of);
  openSection(s, of);
}

/** An accepted frame of which a further section has to be opened. */
export function nextSectioned(s: State, isFree: (of: SectionedFrame) => boolean): SectionedFrame | undefined {
  for (const of of s.sectioned) if (of.failure === undefined && of.opened < of.count && isFree(of)) return of;
  return undefined;
}

/** Opens the next section of a frame. */
export function openSection(s: State, of: SectionedFrame): void {
  const number = of.opened++;
  const payload = s.payloads.get(of.waiting.ref)!;
  // Every open section is a user; the frame is one until its last section has been opened.
  if (of.opened < of.count) payload.users++;
  openFrame(s, of.waiting, of.run, { of, number });
}

/** A node is left out: frames whose ended sections used its results cannot end well. */
export function distrustSections(s: State, { id }: Node): void {
  for (const of of s.sectioned)
    if (of.ends.some(({ nodes }) => nodes.includes(id)))
      of.failure ??= {
        code: 'TESSERA_RUN_FAILED',
        message: `node ${id}, whose results sections of the frame used, was found to answer wrongly and is left out`,
        hint: 'send the frame again',
      };
}

/** Ends all frames with sections, as central stops. */
export function failSectioned(s: State, failure: Failure): void {
  for (const of of s.sectioned) of.failure ??= failure;
  settleSectioned(s);
}

/** Publishes frames whose sections have all ended. True where one did: others may begin now. */
export function settleSectioned(s: State): boolean {
  let ended = false;
  for (const of of s.sectioned) {
    const { failure } = of;
    if (failure !== undefined)
      for (const frame of [...s.frames.values()]) if (frame.section?.of === of) endFrame(s, frame, 'error', failure);
    if (of.ends.length < (failure === undefined ? of.count : of.opened)) continue;
    s.sectioned.delete(of);
    if (of.opened < of.count) freePayload(s, of.waiting.ref);
    if (--of.run.open === 0) s.plans_unsettled = true;
    s.effects.push({ type: 'publish', ...endOf(s, of) });
    ended = true;
  }
  return ended;
}

/** The end of a frame, from those of its sections. */
function endOf(s: State, { i_id, waiting, run, ends, failure, count }: SectionedFrame): FrameEnd {
  const sum = (of: (end: FrameEnd) => number): number => ends.reduce((total, end) => total + of(end), 0);
  const tiles = new Map<string, number>();
  for (const end of ends)
    for (const [node, done] of Object.entries<number>(end.tiles_per_node))
      tiles.set(node, (tiles.get(node) ?? 0) + done);
  const missing = ends.flatMap((end) => end.missing);
  const fallback = ends.find((end) => end.fallback !== undefined)?.fallback;
  return {
    i_id,
    camera: waiting.camera.id,
    model: waiting.model,
    frame: waiting.frame,
    plan: run.plan.id,
    outcome: failure !== undefined ? 'error' : missing.length > 0 ? 'degraded' : 'ok',
    missing,
    exit: null,
    nodes: [...tiles.keys()].sort(),
    tiles_per_node: Object.fromEntries(tiles),
    bytes_up: sum((end) => end.bytes_up),
    bytes_down: sum((end) => end.bytes_down),
    bytes_between: sum((end) => end.bytes_between),
    latency_ms: s.now - waiting.offered_at,
    ...(fallback === undefined ? {} : { fallback }),
    ...(failure === undefined ? {} : { failure }),
    trace: ends.flatMap((end) => end.trace),
    sections: count,
  };
}
