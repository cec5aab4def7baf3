import type { SectionLayout } from '../../shared/model/sections.ts';
import type { Plan } from '../../shared/plan/plan.ts';
import type { NodeEventName } from '../../shared/protocol/messages/node.ts';
import type { SkipReason } from '../../shared/protocol/messages/result.ts';
import type { Box } from '../../shared/tensor/tensor.ts';
import type { FrameEnd } from './frame-end.ts';

/** What the coordinator asks of the effect runner (central/effects.ts), which carries it out in the order given. */

/** Have a node (or `central`) load these stages of a plan; ends in `node-ready` or `node-refused`. May be repeated. */
export interface PrepareEffect {
  readonly type: 'prepare';
  readonly node: string;
  readonly plan: Plan;
  readonly stages: readonly number[];
  /** Repeated in the answer; a repeated `prepare` has the number of the first. */
  readonly request: number;
}

/** A node need not keep a plan any longer. */
export interface ReleasePlanEffect {
  readonly type: 'release-plan';
  readonly node: string;
  readonly plan: string;
}

/** Something about a node that people want to know; nothing depends on it. */
export interface NodeEventEffect {
  readonly type: 'node-event';
  readonly node: string;
  readonly event: NodeEventName;
  readonly text: string;
  readonly plan?: string;
}

/** The coordinator has added a plan: frames may start with it until `plan-retired`. */
export interface PlanAddedEffect {
  readonly type: 'plan-added';
  readonly plan: string;
}

/** This plan now serves new frames of the model: publish it. */
export interface PlanActiveEffect {
  readonly type: 'plan-active';
  readonly model: string;
  readonly plan: string;
}

/** No frame uses the plan any more and no node is asked to prepare it: forget its geometry. */
export interface PlanRetiredEffect {
  readonly type: 'plan-retired';
  readonly plan: string;
}

/**
 * The frame is accepted: journal it, decode `ref` for the model, at central or at the node where it was born; ends in
 * `frame-opened` or `frame-failed`.
 */
export interface OpenFrameEffect {
  readonly type: 'open-frame';
  readonly i_id: string;
  readonly ref: string;
  readonly camera: string;
  readonly model: string;
  readonly frame: string;
  readonly plan: string;
  /** Where it is to be decoded. */
  readonly at: string;
  /** Only this section of the picture; what is found there waits for the `publish` of `frame_id`, its whole frame. */
  readonly section?: { readonly frame_id: string; readonly number: number; readonly layout: SectionLayout };
  /** Nodes that read the camera's topic themselves: they decode it too, and `frame-opened` names those that have. */
  readonly copies: readonly string[];
}

/** A frame that is open where it was born is needed elsewhere: decode it at central; ends like `open-frame`. */
export interface TakeFrameEffect {
  readonly type: 'take-frame';
  readonly i_id: string;
}

/** This model does not accept the frame; `model` is null where no model does. */
export interface SkipFrameEffect {
  readonly type: 'skip-frame';
  readonly ref: string;
  readonly camera: string;
  readonly model: string | null;
  readonly frame: string;
  readonly reason: SkipReason;
}

/** The payload is not decoded any more. Comes once for every ref that was offered. */
export interface FreePayloadEffect {
  readonly type: 'free-payload';
  readonly ref: string;
}

/** A region, and the nodes that it goes to. */
export interface Route {
  readonly tensor: string;
  readonly box: Box;
  /** `central` gets it with the result, the node that makes it keeps it, others get it straight. */
  readonly to: readonly string[];
}

/** A region that a part reads: `held` by its node, sent `from` another one, or else with the work. */
export interface Source {
  readonly tensor: string;
  readonly box: Box;
  readonly held?: true;
  readonly from?: string;
}

/** The ways of one part's regions. */
export interface PartWay {
  readonly t_id: number;
  /** One for each of the part's links, in order. */
  readonly in: readonly Source[];
  readonly out: readonly Route[];
}

/** Send these parts of one stage in one message; each answers with a `part-result` or a `part-error`. */
export interface WorkEffect {
  readonly type: 'work';
  readonly node: string;
  readonly plan: string;
  readonly i_id: string;
  readonly stage: number;
  readonly attempt: number;
  readonly t_ids: readonly number[];
  /** A part that is not among them gets all inputs with the work, and all its outputs come to central. */
  readonly ways?: readonly PartWay[];
  readonly budget_ms: number;
  /** The node has the frame: its tensors are not sent. */
  readonly hasFrame?: true;
  /** This is the second request of an audit: keep the inputs until `audit-over`. */
  readonly audit?: string;
}

/** The node need not do these parts any more, if it has not begun. */
export interface CancelEffect {
  readonly type: 'cancel';
  readonly node: string;
  readonly i_id: string;
  readonly stage: number;
  readonly t_ids: readonly number[];
}

/** Have a node send regions of one part that it has; ends in `regions-arrived` where central is in `to`. */
export interface SendEffect {
  readonly type: 'send';
  readonly node: string;
  readonly plan: string;
  readonly i_id: string;
  readonly stage: number;
  readonly t_id: number;
  /** Of the work that made them there. */
  readonly attempt: number;
  readonly regions: readonly Omit<Route, 'to'>[];
  readonly to: readonly string[];
  /** Repeated in `regions-missing`. */
  readonly request: number;
}

/** A node need not keep the regions of these frames any longer, nor wait for any. */
export interface FreeEffect {
  readonly type: 'free';
  readonly node: string;
  readonly i_ids: readonly string[];
}

/** Paste regions of a part, which came to central, into its tensors; ends in `regions-moved`. */
export interface MoveRegionsEffect {
  readonly type: 'move-regions';
  readonly i_id: string;
  readonly stage: number;
  readonly t_id: number;
  /** Those of the part's outputs that are to be there. */
  readonly tensors: readonly string[];
  /** Names the undecoded regions. */
  readonly handle: string;
  /** An audit begins: keep the outputs until `audit-over`. */
  readonly audit?: string;
}

/** Compare the outputs that were kept for an audit with these; ends in `compared`. */
export interface CompareEffect {
  readonly type: 'compare';
  readonly audit: string;
  readonly handle: string;
}

/** Compute the part of an audit on central's own executor and compare; ends in `judged`. */
export interface JudgeEffect {
  readonly type: 'judge';
  readonly audit: string;
}

/** Forget what was kept for an audit. */
export interface AuditOverEffect {
  readonly type: 'audit-over';
  readonly audit: string;
}

/** Two nodes differ, and central could not compute the part. */
export interface AuditUndecidedEffect {
  readonly type: 'audit-undecided';
  readonly nodes: readonly string[];
  readonly plan: string;
  readonly stage: number;
  readonly t_id: number;
}

/**
 * A node sent a wrong result and gets no more work: publish it. `frames`: the last ended ones that used its results.
 */
export interface LeaveOutEffect {
  readonly type: 'leave-out';
  readonly node: string;
  readonly plan: string;
  readonly stage: number;
  readonly t_id: number;
  readonly frames: readonly string[];
}

/** A node that was left out gets work again: it was restarted, or an operator readmitted it. */
export interface LetInEffect {
  readonly type: 'let-in';
  readonly node: string;
}

/** News about a node: its presence, its readiness for a plan, or the verdict of an audit. */
export type NodeChange = NodeEventEffect | AuditUndecidedEffect | LeaveOutEffect | LetInEffect;

/** What `DiscardReason` can be. */
export const DISCARD_REASONS = ['duplicate', 'stray', 'late', 'stale-epoch'] as const;

/**
 * Why a result or error of a part was not used. `duplicate`: this node answered before; `late`: another node had
 * answered, or the frame has ended; `stray`: the node had no request for it; `stale-epoch`: of another run of central.
 */
export type DiscardReason = (typeof DISCARD_REASONS)[number];

/** Discard undecoded outputs. */
export interface DiscardEffect {
  readonly type: 'discard';
  readonly handle: string;
  readonly why: DiscardReason;
}

/** Set the outputs of these parts to zeros. No answer. */
export interface FillEffect {
  readonly type: 'fill';
  readonly i_id: string;
  readonly stage: number;
  readonly t_ids: readonly number[];
}

/** All outputs are there: run the task decoder and keep its prediction; ends in `finished`. */
export interface FinishEffect {
  readonly type: 'finish';
  readonly i_id: string;
  /** The tensor that replaces the model's outputs, where the frame ends early. */
  readonly exit: string | null;
}

/**
 * The frame has ended; for `ok` and `degraded` with the prediction of `finish`. `release-frame` follows. With `sections`
 * it is a frame whose sections have all been released, and its prediction is what was found in them.
 */
export interface PublishEffect extends FrameEnd {
  readonly type: 'publish';
}

/** The last effect for a frame: free its tensors. */
export interface ReleaseFrameEffect {
  readonly type: 'release-frame';
  readonly i_id: string;
}

/** Send one `timer` event at this time; replaces what was set before. */
export interface SetTimerEffect {
  readonly type: 'set-timer';
  readonly at: number;
}

/** After `drain` or `stop`: no frame is open and none will be. Once. */
export interface DrainedEffect {
  readonly type: 'drained';
}

/** Every effect. */
export type Effect =
  | PrepareEffect
  | ReleasePlanEffect
  | NodeEventEffect
  | PlanAddedEffect
  | PlanActiveEffect
  | PlanRetiredEffect
  | OpenFrameEffect
  | TakeFrameEffect
  | SkipFrameEffect
  | FreePayloadEffect
  | WorkEffect
  | CancelEffect
  | SendEffect
  | FreeEffect
  | MoveRegionsEffect
  | CompareEffect
  | JudgeEffect
  | AuditOverEffect
  | AuditUndecidedEffect
  | LeaveOutEffect
  | LetInEffect
  | DiscardEffect
  | FillEffect
  | FinishEffect
  | PublishEffect
  | ReleaseFrameEffect
  | SetTimerEffect
  | DrainedEffect;
