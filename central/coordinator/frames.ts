import { counted } from '../../shared/counted.ts';
import type { Failure } from '../../shared/errors.ts';
import type { Outcome } from '../../shared/protocol/messages/result.ts';
import { isSourceLost, placeOf, readersOf } from './birthplace.ts';
import type { QueuedFrame } from './camera-state.ts';
import type { FrameEnd, FrameSteps, PartTrace } from './frame-end.ts';
import { freePayload } from './frame-queue.ts';
import { isCurrent } from './may-run.ts';
import { place } from './placement.ts';
import { isReadableYet } from './regions.ts';
import { cancel, end } from './requests.ts';
import { isUndecided } from './routes.ts';
import {
  type Delivery,
  ENDED_KEPT,
  type EndedRequests,
  type Frame,
  type PlanRun,
  RECENT,
  type SectionedFrame,
  type StageRun,
  type State,
} from './state.ts';
import { endFetch } from './transfers.ts';

/** Accepted frames, from `open-frame` to `release-frame`. */

/** Accepts a waiting frame, which from now on ends exactly once; or opens a section of an accepted one. */
export function openFrame(s: State, waiting: QueuedFrame, run: PlanRun, section: Frame['section'] = null): void {
  const stages = run.plan.stages.map((stage, index): StageRun => {
    const parts = run.facts.stages[index]!.parts.map((facts) => ({
      stage: index,
      facts,
      state: 'unplaced' as const,
      requests: [],
      tries: 0,
      failed_on: new Set<string>(),
      last_error: '',
      hedged: false,
      used: null,
      home: null,
      at: new Map<string, Map<string, number>>(),
      sent: new Map<string, Delivery>(),
      fetch: null,
    }));
    return {
      stage,
      state: 'waiting',
      parts,
      remaining: parts.length,
      unplaced: 0,
      attempt: 0,
      fills: false,
      due_at: 0,
    };
  });
  const frame: Frame = {
    ...waiting,
    i_id: `${s.options.epoch}-${s.counter++}`,
    run,
    section,
    policy: waiting.camera.policy,
    hard_at: section?.of.hard_at ?? s.now + s.options.hard_limit_ms,
    phase: 'opening',
    accepted_at: s.now,
    opened_at: null,
    finishing_at: null,
    // Central alone cuts sections out of pictures.
    at: (section === null ? placeOf(s, run, waiting.born) : undefined) ?? s.central.id,
    copies: new Map(),
    isTaken: false,
    isAway: section?.of.isAway ?? waiting.born !== null,
    stages,
    missing: [],
    exit: null,
    fallback: undefined,
    requests: [],
    dispatches: new Map(),
    visited: new Set(),
    isBehind: false,
    sends: new Map(),
    bytes_up: 0,
    bytes_down: 0,
    bytes_between: 0,
  };
  s.frames.set(frame.i_id, frame);
  s.open_bytes += run.facts.frame_bytes;
  run.open++;
  s.timers.set(`hard ${frame.i_id}`, frame.hard_at, { kind: 'hard-limit', frame });
  const { i_id, ref, model } = frame;
  const camera = frame.camera.id;
  s.effects.push({
    type: 'open-frame',
    i_id,
    ref,
    camera,
    model,
    frame: frame.frame,
    plan: run.plan.id,
    at: frame.at,
    copies: section === null ? readersOf(s, run, waiting.born) : [],
    ...(section === null
      ? {}
      : { section: { frame_id: section.of.i_id, number: section.number, layout: waiting.layout! } }),
  });
}

/** The tensors of a frame are there, so its first stages may begin. */
export function onOpened(s: State, frame: Frame, copies: readonly string[] = []): void {
  if (frame.isTaken) {
    frame.at = s.central.id;
    frame.isTaken = false;
  }
  if (frame.phase !== 'opening') return;
  frame.phase = 'running';
  frame.opened_at = s.now;
  for (const id of copies) frame.copies.set(id, s.nodes.get(id)?.boot_id ?? '');
  freePayload(s, frame.ref);
}

function startStage(s: State, frame: Frame, stage: StageRun): void {
  stage.state = 'running';
  stage.unplaced = stage.parts.length;
  stage.due_at = frame.hard_at;
  // Only tiles are filled: a whole stage of zeros would be a prediction from nothing.
  if (frame.policy.deadline === 'fill' && stage.stage.split.kind === 'tiles') {
    stage.fills = true;
    stage.due_at = Math.min(frame.hard_at, s.now + frame.policy.deadline_ms);
    s.timers.set(`fill ${frame.i_id} ${stage.stage.id}`, stage.due_at, { kind: 'fill', frame, stage });
  }
}

/** One part of a stage is done or missing; with the last one the stage is done. */
export function partDone(s: State, frame: Frame, stage: StageRun): void {
  if (--stage.remaining > 0) return;
  stage.state = 'done';
  s.timers.clear(`fill ${frame.i_id} ${stage.stage.id}`);
}

/**
 * Whether parts of a stage can be placed: what they read is there, and no earlier exit may still end the frame. The
 * parts of a stage start together where late ones are filled with zeros, and where one node does them all.
 */
function canStart(s: State, frame: Frame, { stage, parts }: StageRun): boolean {
  if (isUndecided(frame, stage.id)) return false;
  const readable = parts.filter((part) => isReadableYet(s, frame, part)).length;
  const together = frame.policy.deadline === 'fill' || stage.on.mode === 'replicate';
  return together ? readable === parts.length : readable > 0;
}

/**
 * Starts stages that can start, places unplaced parts, finishes the frame after its last stage. True: the frame ended.
 */
export function advance(s: State, frame: Frame): boolean {
  if (isSourceLost(s, frame)) {
    endFrame(s, frame, 'error', {
      code: 'TESSERA_SOURCE_LOST',
      message: `node ${frame.born!.node}, where the frame was born, left with it`,
      hint: 'send it again',
    });
    return true;
  }
  if (frame.phase !== 'running') return false;
  let done = true;
  frame.isBehind = false;
  for (const stage of frame.stages) {
    if (stage.state === 'done') continue;
    done = false;
    if (stage.state === 'waiting' && canStart(s, frame, stage)) startStage(s, frame, stage);
    if (stage.state !== 'running' || stage.unplaced === 0) continue;
    const failure = place(s, frame, stage);
    if (failure !== undefined) {
      endFrame(s, frame, 'error', failure);
      return true;
    }
  }
  // Parts of earlier stages are to be made again.
  if (frame.isBehind) return advance(s, frame);
  if (done) finish(s, frame);
  return false;
}

function finish(s: State, frame: Frame): void {
  frame.phase = 'finishing';
  frame.finishing_at = s.now;
  // Copies (probes, audits) that still wait for credit: the frame does not need them.
  for (const request of frame.requests) if (request.state === 'queued') end(s, request, 'dropped');
  s.effects.push({ type: 'finish', i_id: frame.i_id, exit: frame.exit });
}

/** Cancels all requests of a frame. */
function cancelAll(s: State, frame: Frame): void {
  cancel(
    s,
    frame.requests.filter((request) => request.state === 'queued' || request.state === 'sent'),
  );
  for (const { stage, parts } of frame.stages) {
    s.timers.clear(`fill ${frame.i_id} ${stage.id}`);
    for (const part of parts) endFetch(s, frame, part);
  }
}

/** The exit of a stage is confident: the frame finishes with the exit's tensor, and open requests are cancelled. */
export function takeExit(s: State, frame: Frame, { stage }: StageRun): void {
  frame.exit = stage.exit!.tensor;
  cancelAll(s, frame);
  finish(s, frame);
}

/** T_L has passed for a stage (ADCNN Algorithm 2): its missing parts are filled with zeros. */
export function fill(s: State, frame: Frame, stage: StageRun): void {
  const late = stage.parts.filter((part) => part.state === 'requested' || part.state === 'unplaced');
  if (late.length === 0) return;
  if (!stage.parts.some((part) => part.state === 'done' || part.state === 'moving')) {
    const message = `none of ${counted(stage.parts.length, 'part')} of stage ${stage.stage.id} came within ${frame.policy.deadline_ms} ms`;
    endFrame(s, frame, 'error', { code: 'TESSERA_DEADLINE', message, hint: 'raise deadline_ms of the camera' });
    return;
  }
  s.extra.filled += late.length;
  for (const part of late) {
    if (part.state === 'unplaced') stage.unplaced--;
    part.state = 'missing';
    frame.missing.push({ stage: stage.stage.id, t_id: part.facts.t_id });
    partDone(s, frame, stage);
  }
  cancel(
    s,
    late.flatMap((part) => part.requests.filter((request) => request.state === 'queued' || request.state === 'sent')),
  );
  const t_ids = late.map((part) => part.facts.t_id);
  s.effects.push({ type: 'fill', i_id: frame.i_id, stage: stage.stage.id, t_ids });
}

function stepsOf({ offered_at, accepted_at, opened_at, finishing_at }: Frame): FrameSteps {
  const since = (at: number | null): number | null => (at === null ? null : at - offered_at);
  return { accepted_ms: accepted_at - offered_at, opened_ms: since(opened_at), finishing_ms: since(finishing_at) };
}

function traceOf(frame: Frame): PartTrace[] {
  const since = (at: number | null): number | null => (at === null ? null : at - frame.offered_at);
  return frame.requests.map((request) => ({
    stage: request.dispatch.stage.stage.id,
    t_id: request.part.facts.t_id,
    node: request.node.id,
    attempt: request.dispatch.attempt,
    sent_ms: since(request.sent_at),
    received_ms: since(request.received_at),
    pasted_ms: since(request.pasted_at),
    compute_ms: request.compute_ms,
    queue_ms: request.received_at === null ? null : request.dispatch.queue_ms,
    bytes: request.bytes,
    hedged: request.hedged || request.probe,
    used: request.part.used === request,
  }));
}

/** Ends a frame: publishes it and frees what it holds. */
export function endFrame(s: State, frame: Frame, outcome: Outcome, failure?: Failure): void {
  cancelAll(s, frame);
  // A map: a node may be called `constructor`.
  const done = new Map<string, number>();
  for (const { parts } of frame.stages)
    for (const { state, used } of parts)
      if (state === 'done' && used !== null) done.set(used.node.id, (done.get(used.node.id) ?? 0) + 1);
  const missing =
    outcome === 'error'
      ? frame.stages.flatMap(({ state, stage, parts }) =>
          state === 'waiting'
            ? []
            : parts.flatMap((part) => (part.state === 'done' ? [] : [{ stage: stage.id, t_id: part.facts.t_id }])),
        )
      : frame.missing;
  const ended: FrameEnd = {
    i_id: frame.i_id,
    camera: frame.camera.id,
    model: frame.model,
    frame: frame.frame,
    plan: frame.run.plan.id,
    outcome,
    missing,
    exit: outcome === 'error' ? null : frame.exit,
    nodes: [...done.keys()].sort(),
    tiles_per_node: Object.fromEntries(done),
    bytes_up: frame.bytes_up,
    bytes_down: frame.bytes_down,
    bytes_between: frame.bytes_between,
    latency_ms: s.now - frame.offered_at,
    ...(frame.fallback === undefined ? {} : { fallback: frame.fallback }),
    ...(failure === undefined ? {} : { failure }),
    steps: stepsOf(frame),
    trace: traceOf(frame),
  };
  if (frame.section === null) s.effects.push({ type: 'publish', ...ended });
  else endSection(frame.section.of, ended);
  for (const id of done.keys()) {
    const recent = s.nodes.get(id)?.audit.recent;
    recent?.push(frame.section?.of.i_id ?? frame.i_id);
    if (recent !== undefined && recent.length > RECENT) recent.shift();
  }
  s.effects.push({ type: 'release-frame', i_id: frame.i_id });
  for (const id of frame.visited) s.freed.set(id, [...(s.freed.get(id) ?? []), frame.i_id]);
  if (frame.phase === 'opening') freePayload(s, frame.ref);
  s.timers.clear(`hard ${frame.i_id}`);
  s.frames.delete(frame.i_id);
  s.open_bytes -= frame.run.facts.frame_bytes;
  // A plan that no model has any more goes with its last frame.
  if (--frame.run.open === 0 && !isCurrent(s, frame.run)) s.plans_unsettled = true;
  s.ended.set(frame.i_id, askedFor(frame));
  if (s.ended.size > ENDED_KEPT) s.ended.delete(s.ended.keys().next().value!);
}

function endSection(of: SectionedFrame, end: FrameEnd): void {
  of.ends.push(end);
  of.failure ??= end.failure;
}

function askedFor(frame: Frame): Map<string, EndedRequests> {
  const asked = new Map<string, EndedRequests>();
  for (const { node, sent_at, state } of frame.requests) {
    if (sent_at === null) continue;
    const known = asked.get(node.id);
    const open = (known?.open ?? 0) + (state === 'answered' || state === 'failed' ? 0 : 1);
    const parts = (known?.parts ?? 0) + 1;
    asked.set(node.id, { sent_at: Math.min(sent_at, known?.sent_at ?? sent_at), parts, open });
  }
  return asked;
}

/** The task decoder has made a prediction, or failed. */
export function onFinished(s: State, frame: Frame, failure: Failure | undefined): void {
  if (frame.phase !== 'finishing') return;
  if (failure !== undefined) endFrame(s, frame, 'error', failure);
  else endFrame(s, frame, frame.missing.length > 0 ? 'degraded' : 'ok');
}

/** The hard limit of a frame has passed. */
export function onHardLimit(s: State, frame: Frame): void {
  const open = frame.phase === 'running' ? frame.stages.find((stage) => stage.state === 'running') : undefined;
  const part = open?.parts.find((candidate) => candidate.state === 'requested' || candidate.state === 'unplaced');
  const asked = part?.requests.at(-1)?.node;
  const where =
    open === undefined
      ? `while ${frame.phase}`
      : `in stage ${open.stage.id} with ${counted(open.remaining, 'part')} missing${
          asked === undefined ? '' : `, the first of them asked of ${asked.isLocal ? 'central itself' : asked.id}`
        }`;
  const message = `not done after ${s.options.hard_limit_ms} ms, ${where}`;
  endFrame(s, frame, 'error', {
    code: 'TESSERA_DEADLINE',
    message,
    hint: '`tessera nodes` shows how fast each node is',
  });
}
