import type { Failure } from '../../shared/errors.ts';
import type { SectionLayout } from '../../shared/model/sections.ts';
import type { SchedulablePlan } from '../../shared/plan/compiled-plan.ts';
import type { Tier } from '../../shared/plan/plan.ts';
import type { WorkError } from '../../shared/protocol/messages/work.ts';
import type { CameraPolicy } from './options.ts';

/**
 * What the coordinator is told: plain data, never bytes. What it asks for in answer is in effects.ts.
 *
 * The effect runner owns payloads (`ref`), tensors of frames (`i_id`) and undecoded regions (`handle`); the coordinator
 * passes their names back. The way of one frame, events marked `>`, effects `<`:
 *
 *   > frame-offered    < skip-frame                                     not accepted, with a reason: the end of it
 *                      < open-frame (accepted: has an i_id from here)   decode it, allocate its tensors; where it was
 *                                                                       born, or at central
 *   > frame-opened     < work ...                                       parts of the stages whose inputs are there
 *   > part-result      < move-regions | discard | nothing               nothing: what it made stays at its node
 *   > regions-moved    < work that reads them | finish                  all outputs are there, or an exit is confident
 *                      < send                                           what a node has is needed elsewhere
 *   > regions-arrived  < move-regions                                   a node sent it to central
 *   > finished         < publish, release-frame                         the end of it, exactly once
 *   > frame-failed     < publish, release-frame                         decoding failed, or the tensors were lost
 *
 * Work for central's own executor is the same `work` effect with node `central`; its answers are the same events.
 */

/** The plan for new frames of a model. It takes over when it can start; frames keep the plan that they began with. */
export interface PlanOffered {
  readonly type: 'plan';
  readonly model: string;
  readonly facts: SchedulablePlan;
}

/** A frame has arrived and is held as `ref`. One i_id is made per model that accepts it. */
export interface FrameOffered {
  readonly type: 'frame-offered';
  readonly ref: string;
  readonly camera: string;
  /** The publisher's id, else one made from the content. */
  readonly frame: string;
  readonly models: readonly string[];
  /** Bytes of the payload. */
  readonly bytes: number;
  /** True where the publisher gave the id, so that the id names one frame: a second one is skipped. */
  readonly dedupe: boolean;
  /** The broker delivered the frame again (MQTT's DUP flag): skipped where it is known, also by an id of central's. */
  readonly redelivered?: boolean;
  /** The node that has it; absent: central has. */
  readonly born?: string;
  /** For these of its models, sections of the picture become frames of their own. */
  readonly sections?: { readonly models: readonly string[]; readonly layout: SectionLayout };
}

/** An earlier run of central ended this frame: a redelivery is skipped, but the publisher may send the frame again. */
export interface FrameKnown {
  readonly type: 'frame-known';
  readonly camera: string;
  readonly frame: string;
}

/** The answer to `open-frame` and `take-frame`: the tensors of the frame are there. */
export interface FrameOpened {
  readonly type: 'frame-opened';
  readonly i_id: string;
  /** Those of the effect's `copies` that have it too. */
  readonly copies?: readonly string[];
}

/** A frame cannot be opened where it was born: central has to take it. */
export interface FrameNotOpened {
  readonly type: 'frame-not-opened';
  readonly i_id: string;
}

/** The picture of a frame that was born at a node is at central, which decodes it now. */
export interface FrameTaken {
  readonly type: 'frame-taken';
  readonly i_id: string;
}

/** The frame cannot be decoded; or, at any time later, its tensors were lost. */
export interface FrameFailed {
  readonly type: 'frame-failed';
  readonly i_id: string;
  readonly failure: Failure;
}

/** A node is online and has published its info; another `boot_id` than before means that the node was restarted. */
export interface NodeOnline {
  readonly type: 'node-online';
  readonly node: string;
  readonly boot_id: string;
  readonly tier: Tier;
  /** Bytes of unanswered parts (inputs and outputs) that fit into its memory; absent: no limit is known. */
  readonly memory_bytes?: number;
  /** Whether frames that are born there can be opened there; absent: central takes them. */
  readonly holds_frames?: boolean;
}

/** An operator readmits a node that was left out; for any other node it means nothing. */
export interface NodeReadmitted {
  readonly type: 'node-readmitted';
  readonly node: string;
}

/** A node gets no new work, so that it can be stopped, or gets work again. */
export interface NodeDrained {
  readonly type: 'node-drained';
  readonly node: string;
  readonly isDrained: boolean;
}

/** A node has left. */
export interface NodeOffline {
  readonly type: 'node-offline';
  readonly node: string;
}

/** A sign of life of a node. */
export interface Heartbeat {
  readonly type: 'heartbeat';
  readonly node: string;
}

/** The positive answer to `prepare`; that of `central` comes from central's own executor. */
export interface NodeReady {
  readonly type: 'node-ready';
  readonly node: string;
  readonly plan: string;
  /** The stages that are ready, where the node still prepares others; absent: all. */
  readonly stages?: readonly number[] | undefined;
  /** Of the `prepare` that it answers; an answer to an earlier one changes nothing. Absent: of the latest. */
  readonly request?: number | undefined;
}

/** The negative answer to `prepare`. */
export interface NodeRefused {
  readonly type: 'node-refused';
  readonly node: string;
  readonly plan: string;
  readonly code: string;
  readonly text: string;
  readonly request?: number | undefined;
}

/** How many bytes a `work` effect became on the wire; only these count as bytes_up. Optional; not for `central`. */
export interface WorkSent {
  readonly type: 'work-sent';
  readonly node: string;
  readonly i_id: string;
  readonly stage: number;
  readonly attempt: number;
  readonly bytes: number;
}

/** Which work a message of a node answers. */
export interface AnswerAddress {
  readonly node: string;
  readonly plan: string;
  readonly i_id: string;
  readonly stage: number;
  readonly attempt: number;
}

/** Which part of that work an event is about. */
export interface PartAnswer extends AnswerAddress {
  readonly t_id: number;
}

/** What a part made of one output tensor. */
export interface MadeRegion {
  readonly tensor: string;
  /** The node that made it and has it; `central` where it came along with the result. */
  readonly at: string;
  /** Encoded bytes. */
  readonly bytes: number;
}

/** One part is done. A handle is answered by exactly one `move-regions`, `discard` or `compare`. */
export interface PartResult extends PartAnswer {
  readonly type: 'part-result';
  /** In the order of the outputs that the work asked for. */
  readonly regions: readonly MadeRegion[];
  readonly compute_ms: number;
  readonly queue_ms: number;
  /** Names the undecoded regions that came along; absent where none did. */
  readonly handle?: string;
}

/** A node could not do a part. */
export interface PartError extends PartAnswer {
  readonly type: 'part-error';
  readonly code: WorkError;
  readonly text: string;
  /** With `missing-input`: tensors of which regions are not there. */
  readonly missing?: readonly string[];
}

/** A node sent regions of a part to central. Answered by exactly one `move-regions` or `discard`. */
export interface RegionsArrived extends PartAnswer {
  readonly type: 'regions-arrived';
  readonly handle: string;
}

/** The network has what `send` ordered. */
export interface RegionsSent {
  readonly type: 'regions-sent';
  readonly node: string;
  readonly i_id: string;
  readonly request: number;
  /** Encoded bytes. */
  readonly bytes: number;
}

/** A node does not have regions that `send` ordered. */
export interface RegionsMissing {
  readonly type: 'regions-missing';
  readonly node: string;
  readonly i_id: string;
  readonly request: number;
  readonly regions: readonly { readonly tensor: string }[];
}

/** The answer to `move-regions`; without `ok` the regions were not as requested, and are requested again. */
export interface RegionsMoved {
  readonly type: 'regions-moved';
  readonly i_id: string;
  readonly stage: number;
  readonly t_id: number;
  readonly ok: boolean;
  /** The exit of this stage is confident enough: the frame ends with the exit's tensor. */
  readonly exit?: boolean;
}

/** The answer to `compare`: whether both results agree; null where the second was not what was asked for. */
export interface Compared {
  readonly type: 'compared';
  readonly audit: string;
  readonly agree: boolean | null;
}

/** The answer to `judge`: whose result agrees with what central computed; null where central could not compute it. */
export interface Judged {
  readonly type: 'judged';
  readonly audit: string;
  readonly said: { readonly suspect: boolean; readonly auditor: boolean } | null;
}

/** The answer to `finish`; with a failure where the decoder could not make a prediction. */
export interface Finished {
  readonly type: 'finished';
  readonly i_id: string;
  readonly failure?: Failure;
}

/** The time of the last `set-timer` has come. An extra one does no harm. */
export interface TimerRang {
  readonly type: 'timer';
}

/** How the frames of a camera are treated from now on. */
export interface CameraConfig {
  readonly type: 'camera-config';
  readonly camera: string;
  readonly policy: Partial<CameraPolicy>;
}

/** A camera has no policy of its own any more. */
export interface CameraForgotten {
  readonly type: 'camera-forgotten';
  readonly camera: string;
}

/** Accept nothing more; open frames are brought to their end, then `drained`. */
export interface Drain {
  readonly type: 'drain';
}

/** End every open frame now with TESSERA_CENTRAL_RESTARTED, release the plans, then `drained`. */
export interface Stop {
  readonly type: 'stop';
  /** Another central has taken over, and the plans at the nodes are its own. */
  readonly relieved?: boolean;
}

/** Every event, without its time. */
export type UntimedEvent =
  | PlanOffered
  | FrameOffered
  | FrameKnown
  | FrameOpened
  | FrameNotOpened
  | FrameTaken
  | FrameFailed
  | NodeOnline
  | NodeReadmitted
  | NodeDrained
  | NodeOffline
  | Heartbeat
  | NodeReady
  | NodeRefused
  | WorkSent
  | PartResult
  | PartError
  | RegionsArrived
  | RegionsSent
  | RegionsMissing
  | RegionsMoved
  | Compared
  | Judged
  | Finished
  | TimerRang
  | CameraConfig
  | CameraForgotten
  | Drain
  | Stop;

/** Every event. `at`: ms of one monotonic clock, which never goes back. */
export type Event = UntimedEvent & { readonly at: number };
