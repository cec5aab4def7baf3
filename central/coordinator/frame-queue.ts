import type { SkipReason } from '../../shared/protocol/messages/result.ts';
import type { Camera, QueuedFrame } from './camera-state.ts';
import type { FrameOffered } from './events.ts';
import type { CameraPolicy } from './options.ts';
import type { PlanRun, State } from './state.ts';

/** Frames before they are accepted: one queue per camera and model, the reasons to skip, and fair turns of cameras. */

/** Cameras that are remembered; beyond that one without waiting frames and without its own policy is forgotten. */
const CAMERAS_KEPT = 1024;
/** Frame ids remembered per camera. */
const RECENT_KEPT = 4096;

function cameraOf(s: State, id: string): Camera {
  const known = s.cameras.get(id);
  if (known !== undefined) return known;
  if (s.cameras.size >= CAMERAS_KEPT)
    for (const [other, { waiting, configured }] of s.cameras)
      if (!configured && [...waiting.values()].every((lane) => lane.length === 0)) {
        s.cameras.delete(other);
        break;
      }
  const camera: Camera = {
    id,
    policy: s.options.camera,
    configured: false,
    waiting: new Map(),
    next_at: 0,
    turn: 0,
    payload_bytes: 0,
    recent: new Map(),
  };
  s.cameras.set(id, camera);
  return camera;
}

/** Sets a camera's policy; accepted frames keep the policy that they began with. */
export function configure(s: State, id: string, policy: Partial<CameraPolicy>): void {
  const camera = cameraOf(s, id);
  camera.policy = { ...s.options.camera, ...policy };
  camera.configured = true;
}

/** Takes a camera's own policy away; then it makes room for others. */
export function unconfigure(s: State, id: string): void {
  const camera = s.cameras.get(id);
  if (camera !== undefined) Object.assign(camera, { policy: s.options.camera, configured: false });
}

function skip(
  s: State,
  camera: Camera,
  { ref, frame }: { ref: string; frame: string },
  model: string | null,
  reason: SkipReason,
): void {
  s.effects.push({ type: 'skip-frame', ref, camera: camera.id, model, frame, reason });
}

/** A payload has one user less; the last one frees it. */
export function freePayload(s: State, ref: string): void {
  const payload = s.payloads.get(ref);
  if (payload === undefined || --payload.users > 0) return;
  s.payloads.delete(ref);
  s.payload_bytes -= payload.bytes;
  payload.camera.payload_bytes -= payload.bytes;
  s.effects.push({ type: 'free-payload', ref });
}

/** Whether a frame is within max_fps (GCRA, ITU-T I.371); half an interval of jitter is tolerated. */
function isWithinRate(s: State, camera: Camera): boolean {
  if (camera.policy.max_fps <= 0) return true;
  const interval = 1000 / camera.policy.max_fps;
  if (s.now < camera.next_at - interval / 2) return false;
  camera.next_at = Math.max(camera.next_at, s.now) + interval;
  return true;
}

/** Whether the frame repeats a recent one; otherwise it is remembered. */
function isDuplicate(s: State, camera: Camera, event: FrameOffered): boolean {
  const { frame, dedupe, redelivered = false } = event;
  const known = camera.recent.get(frame);
  const { dedupe_ms, redelivery_ms } = s.options;
  const isKnown = (ms: number): boolean => known !== undefined && s.now - known.at < ms;
  if (redelivered ? isKnown(redelivery_ms) : dedupe && known?.before === false && isKnown(dedupe_ms)) return true;
  remember(s, camera, frame, false);
  return false;
}

function remember(s: State, camera: Camera, frame: string, before: boolean): void {
  camera.recent.delete(frame);
  for (const [id, { at }] of camera.recent) {
    if (s.now - at < s.options.redelivery_ms && camera.recent.size < RECENT_KEPT) break;
    camera.recent.delete(id);
  }
  camera.recent.set(frame, { at: s.now, before });
}

/** Remembers a frame that an earlier run of central ended. */
export function onKnown(s: State, { camera, frame }: { camera: string; frame: string }): void {
  remember(s, cameraOf(s, camera), frame, true);
}

/** Why a frame is skipped for all models; undefined where it is not. */
function refusal(s: State, camera: Camera, event: FrameOffered): SkipReason | undefined {
  if (s.phase !== 'running') return 'stopping';
  if (!event.models.some((model) => s.models.has(model))) return 'no-model';
  if (isDuplicate(s, camera, event)) return 'duplicate';
  if (!isWithinRate(s, camera)) return 'rate-limit';
  return undefined;
}

/**
 * Skips the newest waiting frame of the camera whose payloads take most bytes, if these are more than `own`, the bytes
 * of `camera`: a camera that floods fills only its own share of the buffers. False where no other camera has more.
 */
function evict(s: State, camera: Camera, own: number): boolean {
  const newestOf = (camera: Camera): QueuedFrame | undefined => {
    const tails = [...camera.waiting.values()].flatMap((lane) => lane.at(-1) ?? []);
    return tails.reduce<QueuedFrame | undefined>(
      (a, b) => (a === undefined || b.offered_at > a.offered_at ? b : a),
      undefined,
    );
  };
  let most: Camera | undefined;
  for (const other of s.cameras.values())
    if (other !== camera && other.payload_bytes > (most?.payload_bytes ?? own) && newestOf(other) !== undefined)
      most = other;
  if (most === undefined) return false;
  const { ref } = newestOf(most)!;
  for (const [model, lane] of most.waiting) {
    const at = lane.findIndex((waiting) => waiting.ref === ref);
    if (at < 0) continue;
    skip(s, most, lane.splice(at, 1)[0]!, model, 'buffers-full');
    freePayload(s, ref);
  }
  return true;
}

/** Queues a frame, or returns why it is skipped. */
function enqueue(s: State, waiting: QueuedFrame): SkipReason | undefined {
  const { camera, model } = waiting;
  if (!s.models.has(model)) return 'no-model';
  const lane = camera.waiting.get(model) ?? [];
  camera.waiting.set(model, lane);
  const { keep, queue_max } = camera.policy;
  if (keep === 'every' && lane.length >= queue_max) return 'queue-full';
  const replaced = keep === 'newest' ? lane.splice(0) : [];
  const freed = replaced.reduce((sum, old) => {
    const payload = s.payloads.get(old.ref)!;
    return payload.users === 1 ? sum + payload.bytes : sum;
  }, 0);
  while (s.payload_bytes - freed > s.options.max_payload_bytes) {
    if (evict(s, camera, camera.payload_bytes - freed)) continue;
    lane.push(...replaced);
    return 'buffers-full';
  }
  for (const old of replaced) {
    skip(s, camera, old, model, 'newer-frame');
    freePayload(s, old.ref);
  }
  lane.push(waiting);
  return undefined;
}

/** A frame has arrived: each model queues or skips it. */
export function onOffered(s: State, event: FrameOffered): void {
  const { ref, frame, bytes } = event;
  const camera = cameraOf(s, event.camera);
  const born = event.born === undefined ? null : { node: event.born, boot_id: s.nodes.get(event.born)?.boot_id ?? '' };
  const reason = refusal(s, camera, event);
  // The offer itself is a user of the payload until every model has queued or skipped the frame.
  const payload = { camera, bytes, users: 1 };
  s.payloads.set(ref, payload);
  s.payload_bytes += bytes;
  camera.payload_bytes += bytes;
  if (reason !== undefined) skip(s, camera, event, null, reason);
  else
    for (const model of new Set(event.models)) {
      const layout = event.sections?.models.includes(model) ? event.sections.layout : null;
      const refused = enqueue(s, { ref, camera, model, frame, offered_at: s.now, born, layout });
      if (refused === undefined) payload.users++;
      else skip(s, camera, event, model, refused);
    }
  // A frame that no model queued has no result, so the publisher may send it again.
  if (payload.users === 1 && reason !== 'duplicate') camera.recent.delete(frame);
  freePayload(s, ref);
}

/** Whether the tensors of one more frame fit into what open frames may take. */
export function hasRoom(s: State, { facts }: PlanRun): boolean {
  return s.frames.size === 0 || s.open_bytes + facts.frame_bytes <= s.options.max_open_bytes;
}

/**
 * Takes the next frame that may begin now, with its plan: of the camera that was served longest ago, and of this camera
 * the oldest. Undefined where none may begin.
 */
export function nextFrame(
  s: State,
  mayBegin: (head: QueuedFrame) => PlanRun | undefined,
): { waiting: QueuedFrame; run: PlanRun } | undefined {
  let best: { lane: QueuedFrame[]; run: PlanRun } | undefined;
  for (const camera of s.cameras.values())
    for (const lane of camera.waiting.values()) {
      const head = lane[0];
      if (head === undefined) continue;
      const chosen = best?.lane[0];
      const later =
        chosen !== undefined &&
        (camera === chosen.camera ? head.offered_at >= chosen.offered_at : camera.turn >= chosen.camera.turn);
      if (later) continue;
      const run = mayBegin(head);
      if (run !== undefined) best = { lane, run };
    }
  if (best === undefined) return undefined;
  const { run, lane } = best;
  // A frame for which there is no room yet keeps its turn; otherwise smaller frames would starve it.
  if (!hasRoom(s, run)) return undefined;
  const waiting = lane.shift()!;
  waiting.camera.turn = ++s.turn;
  return { waiting, run };
}

/** Skips all waiting frames. */
export function skipQueued(s: State): void {
  for (const camera of s.cameras.values())
    for (const [model, lane] of camera.waiting)
      for (const waiting of lane.splice(0)) {
        skip(s, camera, waiting, model, 'stopping');
        freePayload(s, waiting.ref);
      }
}
