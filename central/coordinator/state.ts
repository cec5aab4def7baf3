import type { SchedulablePart, SchedulablePlan } from '../../shared/plan/compiled-plan.ts';
import type { Plan, Stage, Tier } from '../../shared/plan/plan.ts';
import type { MemoryBelief } from '../scheduler/memory.ts';
import type { NodeStatistics } from '../scheduler/statistics.ts';
import type { Camera, Payload, QueuedFrame } from './camera-state.ts';
import type { DiscardReason, Effect } from './effects.ts';
import type { Fallback } from './frame-end.ts';
import type { CameraPolicy, CoordinatorOptions } from './options.ts';
import type { Timers } from './timers.ts';

/**
 * All that the coordinator knows, as plain data; the files beside this one are functions over it.
 *
 *   frame   waiting -> opening -> running -> finishing -> ended (gone from `frames`); finishing: all stages are done, or
 *           an exit was taken, and then nothing that is under way for it counts any more
 *   stage   waiting -> running -> done
 *   part    unplaced -> asked -> moving -> done
 *           asked -> unplaced (nobody is left who was asked); moving -> unplaced (outputs were wrong)
 *           unplaced | asked -> missing (filled with zeros)
 *   request queued -> sent -> answered | failed | dropped; queued -> dropped; dropped -> answered (late, still welcome)
 *   node    online -> suspect -> online; online | suspect -> offline -> online
 */
export interface State {
  readonly options: CoordinatorOptions;
  now: number;
  phase: 'running' | 'draining' | 'stopped';
  effects: Effect[];
  readonly nodes: Map<string, Node>;
  /** Central's own executor, which is one of `nodes`. */
  readonly central: Node;
  readonly models: Map<string, ModelRun>;
  /** By plan id: active, about to be, or still used by frames. */
  readonly plans: Map<string, PlanRun>;
  readonly cameras: Map<string, Camera>;
  readonly payloads: Map<string, Payload>;
  payload_bytes: number;
  /** Accepted and not ended, by i_id, oldest first. */
  readonly frames: Map<string, Frame>;
  open_bytes: number;
  /** The last `ENDED_KEPT` ended frames and the nodes that were asked for them, to tell late answers from strays. */
  readonly ended: Map<string, ReadonlyMap<string, EndedRequests>>;
  readonly timers: Timers<Alarm>;
  /** Counts accepted frames, and turns of cameras. */
  counter: number;
  turn: number;
  dispatches: number;
  /** Numbers what nodes are asked to prepare. */
  prepares: number;
  readonly discarded: Record<DiscardReason, number>;
  /** Results and errors that nobody was asked for, or that were said before. */
  unused: number;
  /** Requests and parts that were not the plain course of things. */
  readonly extra: {
    /** Second requests for parts that were slow elsewhere. */
    hedged: number;
    /** Requests for parts that failed, timed out or were lost elsewhere. */
    resent: number;
    /** Parts whose outputs are zeros. */
    filled: number;
    /** Parts that two computed, and what they said was compared. */
    audited: number;
  };
  /** Audits under way, by id. */
  readonly audits: Map<string, Audit>;
  audit_count: number;
  /** What chooses the parts to audit. */
  audit_seed: number;
  /** Something has changed for plans or nodes: `settlePlans` has to look. */
  fleet_changed: boolean;
}

/** Ended frames that are remembered of a node, to be named where it turns out to answer wrongly. */
export const RECENT = 64;

/** Ended frames that are remembered. */
export const ENDED_KEPT = 512;

/** What a node was asked for a frame that has ended: when first, how many parts, and how many answers have not come. */
export interface EndedRequests {
  readonly sent_at: number;
  readonly parts: number;
  open: number;
}

/** What a deadline is for. */
export type Alarm =
  | { readonly kind: 'hard-limit'; readonly frame: Frame }
  | { readonly kind: 'fill'; readonly frame: Frame; readonly stage: StageRun }
  | { readonly kind: 'hedge'; readonly dispatch: Dispatch }
  | { readonly kind: 'give-up'; readonly dispatch: Dispatch }
  /** Look for nodes that have fallen silent. */
  | { readonly kind: 'sweep' }
  /** Nothing by itself: something can go on because time has passed. */
  | { readonly kind: 'look' };

/** A node agent, or central's own executor. */
export interface Node {
  readonly id: string;
  /** Runs in this process: always online and trusted, without a link, and asked only where a plan names it. */
  readonly isLocal: boolean;
  /** Does stages of any plan that no node can do that the plan names. */
  readonly isFallback: boolean;
  boot_id: string;
  tier: Tier;
  presence: 'online' | 'suspect' | 'offline';
  heard_at: number;
  memory: MemoryBelief;
  /** By plan id. */
  readonly readiness: Map<string, Readiness>;
  /** Assigned and held back for credit, in order. */
  queue: Request[];
  /** Sent and unanswered. */
  readonly open: Set<Request>;
  /** Input bytes of `open`. */
  open_bytes: number;
  /** Output bytes of `open`: results on their way, or to come. */
  owed_bytes: number;
  /** Input and output bytes of `queue` and `open`. */
  assigned_bytes: number;
  /** Predicted time for `queue` and `open`, ms. */
  busy_ms: number;
  /** When it was last given work, and when its last answer to any came. */
  worked_at: number;
  answered_at: number;
  readonly statistics: NodeStatistics;
  readonly audit: {
    /** Audits in which somebody else said the same, since it was let in. */
    agreed: number;
    /** It answered wrongly and gets no work; how often that was. */
    out: boolean;
    left_out_times: number;
    /** The last ended frames that used its results. */
    recent: string[];
  };
  /** Batches of late, and how many of them others were asked for too: whether it is said to be slow. */
  readonly pace: { dispatches: number; late: number; halved_at: number; said_at: number };
  readonly counts: {
    /** Parts whose results were used. */
    tiles: number;
    audited: number;
    /** Messages that it was not asked for, or not any more. */
    unasked: number;
    errors: number;
    given_up: number;
    hedges_won: number;
    bytes_up: number;
    bytes_down: number;
  };
}

/** How far a node is with a plan. */
export interface Readiness {
  state: 'preparing' | 'ready' | 'refused';
  asked_at: number;
  /** Number of the latest question; only its answer counts. */
  ask: number;
  /** Asked for, and (after `ready`) usable; while central loads more stages, the ones before stay usable. */
  stages: readonly number[];
  usable: readonly number[];
  /** Why it refused, how often, and when it is asked again; that is never where asking again makes no sense. */
  code: string;
  text: string;
  refusals: number;
  again_at: number;
}

/** A model that frames may ask for. */
export interface ModelRun {
  readonly name: string;
  active: PlanRun | null;
  /** Takes over when it can start. */
  pending: PlanRun | null;
}

/** A plan in use. */
export interface PlanRun {
  readonly plan: Plan;
  readonly facts: SchedulablePlan;
  since: number;
  /** Accepted frames that use it. */
  open: number;
  /** Stages that central has to be able to do because nobody else is. */
  readonly standby: Set<number>;
}

/** An accepted frame. */
export interface Frame extends QueuedFrame {
  readonly i_id: string;
  readonly run: PlanRun;
  readonly policy: CameraPolicy;
  readonly hard_at: number;
  phase: 'opening' | 'running' | 'finishing';
  readonly stages: readonly StageRun[];
  readonly missing: { stage: number; t_id: number }[];
  /** The tensor that it ended early with. */
  exit: string | null;
  /** Why central computed what the plan gives to nodes. */
  fallback: Fallback | undefined;
  readonly requests: Request[];
  /** By node, stage and attempt. */
  readonly dispatches: Map<string, Dispatch>;
  bytes_up: number;
  bytes_down: number;
}

/** A stage of an accepted frame. */
export interface StageRun {
  readonly stage: Stage;
  state: 'waiting' | 'running' | 'done';
  readonly parts: readonly PartRun[];
  /** Parts that are neither done nor missing. */
  remaining: number;
  /** Parts that nobody is asked for. */
  unplaced: number;
  /** Rises with each placement, so that a node's answers to different requests can be told apart. */
  attempt: number;
  /** Whether parts that are not there at `due_at` are filled with zeros. */
  fills: boolean;
  /** When its parts must be there: T_L, or the frame's hard limit. */
  due_at: number;
}

/** A part of an accepted frame. */
export interface PartRun {
  readonly facts: SchedulablePart;
  state: 'unplaced' | 'asked' | 'moving' | 'done' | 'missing';
  readonly requests: Request[];
  /** Errors, time-outs and losses so far. */
  tries: number;
  /** Nodes that could not do it. */
  readonly failed_on: Set<string>;
  last_error: string;
  hedged: boolean;
  used: Request | null;
}

/** One request to one node for one part. */
export interface Request {
  readonly node: Node;
  readonly part: PartRun;
  readonly dispatch: Dispatch;
  readonly hedged: boolean;
  /** A copy that only keeps the node's speed known; it is never cancelled. */
  readonly probe: boolean;
  readonly predicted_ms: number;
  state: 'queued' | 'sent' | 'answered' | 'failed' | 'dropped';
  sent_at: number | null;
  received_at: number | null;
  compute_ms: number | null;
  bytes: number;
}

/** What one placement gave to one node: the unit of prediction, hedging and statistics; one message while it fits. */
export interface Dispatch {
  readonly id: number;
  readonly node: Node;
  readonly frame: Frame;
  readonly stage: StageRun;
  readonly attempt: number;
  /** The audit that it is a second request for. */
  readonly audit: string | undefined;
  readonly requests: Request[];
  readonly assigned_at: number;
  /** Waiting and computing, ms; null where nothing is known of the node. */
  readonly predicted_ms: number | null;
  readonly hedge_ms: number;
  /** Asks that are queued or sent. */
  open: number;
  messages: number;
  queue_ms: number;
  /** Whether others were asked too. */
  late: boolean;
  /** Whether its silence was counted against the node's speed. */
  silence_noted: boolean;
  /** When the node gave its last answer to anything else before its first one to this; null before that. */
  busy_until: number | null;
  /** When its last answer came. */
  answered_at: number;
  /** Cost answered in time, and the node's own time for it. */
  cost_done: number;
  compute_ms: number;
}

/** An audit under way. */
export interface Audit {
  readonly id: string;
  readonly suspect: Node;
  readonly run: PlanRun;
  readonly stage: number;
  readonly part: PartRun;
  readonly i_id: string;
  /** The request for the second result. */
  readonly request: Request;
  readonly until: number;
  phase: 'asked' | 'comparing' | 'deciding' | 'judging';
}
