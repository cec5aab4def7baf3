import type { Failure } from '../../shared/errors.ts';
import type { PartLink, SchedulablePart, SchedulablePlan } from '../../shared/plan/compiled-plan.ts';
import type { Plan, Stage, Tier } from '../../shared/plan/plan.ts';
import type { MemoryBelief } from '../scheduler/memory.ts';
import type { NodeStatistics } from '../scheduler/statistics.ts';
import type { Camera, Payload, QueuedFrame } from './camera-state.ts';
import type { DiscardReason, Effect, Route } from './effects.ts';
import type { Fallback, FrameEnd } from './frame-end.ts';
import type { CameraPolicy, CoordinatorOptions } from './options.ts';
import type { Timers } from './timers.ts';

/**
 * All that the coordinator knows, as plain data; the files beside this one are functions over it.
 *
 *   frame   waiting -> opening -> running -> finishing -> ended (removed from `frames`)
 *           finishing: all stages are done, or an exit was taken and results that still come are late
 *   stage   waiting -> running -> done
 *   part    unplaced -> requested -> moving -> done; requested -> done (what it made stays at its node)
 *           requested -> unplaced (no live request is left); moving -> unplaced (the regions were wrong)
 *           done -> unplaced (what it made is nowhere any more, and a part that has to run reads it)
 *           unplaced | requested -> missing (filled with zeros)
 *   request queued -> sent -> answered | failed | dropped; queued -> dropped
 *           dropped -> answered (late; updates statistics)
 *   node    online -> suspect -> online; online | suspect -> offline -> online
 */
export interface State {
  readonly options: CoordinatorOptions;
  now: number;
  phase: 'running' | 'draining' | 'stopped';
  effects: Effect[];
  readonly nodes: Map<string, Node>;
  /** Nodes that get no new work, known ones or not. */
  readonly drained: Set<string>;
  /** Central's own executor, which is one of `nodes`. */
  readonly central: Node;
  readonly models: Map<string, ModelRun>;
  /** By plan id: active, pending, or still used by frames. */
  readonly plans: Map<string, PlanRun>;
  readonly cameras: Map<string, Camera>;
  readonly payloads: Map<string, Payload>;
  payload_bytes: number;
  /** Accepted frames that have not ended, by i_id, oldest first. */
  readonly frames: Map<string, Frame>;
  /** Accepted frames whose sections are, or will be, among `frames`. */
  readonly sectioned: Set<SectionedFrame>;
  open_bytes: number;
  /** What nodes had been requested for the last `ENDED_KEPT` ended frames: tells late answers from strays. */
  readonly ended: Map<string, ReadonlyMap<string, EndedRequests>>;
  readonly timers: Timers<Alarm>;
  /** Counters of accepted frames and of turns of cameras. */
  counter: number;
  turn: number;
  dispatches: number;
  /** Counters of `prepare` and `send` effects. */
  prepares: number;
  sends: number;
  /** Ended frames of which nodes are still to be told, by node. */
  readonly freed: Map<string, string[]>;
  readonly discarded: Record<DiscardReason, number>;
  /** Results and errors that answered no request, or answered one again. */
  unused: number;
  /** Requests beside the first for each part, and parts without a result. */
  readonly extra: {
    /** Second requests for parts that were slow at another node. */
    hedged: number;
    /** Requests for parts that failed, timed out or were lost at another node. */
    resent: number;
    /** Parts whose outputs are zeros. */
    filled: number;
    /** Parts that a second node computed too, to compare. */
    audited: number;
  };
  /** Audits under way, by id. */
  readonly audits: Map<string, Audit>;
  audit_count: number;
  /** State of the random numbers that choose the parts to audit. */
  audit_seed: number;
  /** Plans or nodes have changed: `settlePlans` has to run. */
  plans_unsettled: boolean;
}

/** Ended frames that are remembered per node, to be named if the node is found to answer wrongly. */
export const RECENT = 64;

/** Ended frames that are remembered. */
export const ENDED_KEPT = 512;

/** Requests of a node for a frame that has ended: time of the first, how many parts, how many without an answer. */
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
  /** Regions that a node was to send to central. */
  | { readonly kind: 'fetch'; readonly frame: Frame; readonly part: PartRun }
  /** Suspect nodes that missed their heartbeats. */
  | { readonly kind: 'sweep' }
  /** Run `settlePlans`: a time has passed that a plan waits for. */
  | { readonly kind: 'look' };

/** A node agent, or central's own executor. */
export interface Node {
  readonly id: string;
  /** Runs in this process: always online, trusted, without a link; `*` in placements does not include it. */
  readonly isLocal: boolean;
  boot_id: string;
  /** Null for the local node where the configuration gives it no tier. */
  tier: Tier | null;
  presence: 'online' | 'suspect' | 'offline';
  /** Whether it gets no new work, because somebody is about to stop it. */
  isDrained: boolean;
  /** How often it has left: what it had before is gone. */
  departures: number;
  heard_at: number;
  memory: MemoryBelief;
  /** Whether frames can be opened there (birthplace.ts). */
  holdsFrames: boolean;
  /** By plan id. */
  readonly readiness: Map<string, Readiness>;
  /** Assigned requests that wait for credit, in order. */
  queue: Request[];
  /** Sent requests without an answer. */
  readonly open: Set<Request>;
  /** Input bytes of `open`, without those that the node has. */
  open_bytes: number;
  /** Output bytes of `open`: results that the node owes central. */
  owed_bytes: number;
  /** Bytes of regions that other nodes are to send to this one with the work that they have. */
  coming_bytes: number;
  /** Input and output bytes of `queue` and `open`. */
  assigned_bytes: number;
  /** Predicted time for `queue` and `open`, ms. */
  busy_ms: number;
  /** When the node was last given work, and when it last answered. */
  worked_at: number;
  answered_at: number;
  readonly statistics: NodeStatistics;
  readonly audit: {
    /** Audits in which another node agreed, since this one was let in. */
    agreed: number;
    /** Whether the node answered wrongly and gets no work; how often it was left out. */
    out: boolean;
    left_out_times: number;
    /** The last `RECENT` ended frames that used its results. */
    recent: string[];
  };
  /** Recent dispatches and late ones, halved from time to time; when the node was last reported as slow. */
  readonly pace: { dispatches: number; late: number; halved_at: number; said_at: number };
  readonly counts: {
    /** Parts whose results were used. */
    tiles: number;
    audited: number;
    /** Messages with results that nothing requested, or nothing any more. */
    unasked: number;
    errors: number;
    given_up: number;
    hedges_won: number;
    bytes_up: number;
    bytes_down: number;
  };
}

/** How far a node has prepared a plan. */
export interface Readiness {
  state: 'preparing' | 'ready' | 'refused';
  requested_at: number;
  /** Number of the latest `prepare`; only the answer to that one counts. */
  request: number;
  /** Stages that the latest `prepare` names; stages that may get work, also while more are prepared. */
  stages: readonly number[];
  usable: readonly number[];
  /** Why the node refused, how often, and when `prepare` is sent again: never where that makes no sense. */
  code: string;
  text: string;
  refusals: number;
  again_at: number;
}

/** A model that frames may ask for. */
export interface ModelRun {
  readonly name: string;
  active: PlanRun | null;
  /** Becomes active once it can start. */
  pending: PlanRun | null;
}

/** How a part that runs at a node gets a region that it reads. */
export type Supply =
  /** With the work. */
  | 'inline'
  /** The node has it. */
  | 'held'
  /** Another node sends it; without a delivery it is still to be told so. */
  | { readonly from: string; readonly delivery: Delivery | undefined };

/** A part that reads a region. */
export interface Reader {
  readonly stage: number;
  readonly t_id: number;
  readonly link: PartLink;
}

/** Tensors of a plan by the ways that they go (routes.ts). */
export interface Ways {
  /** Tensors that stages on nodes read. */
  readonly straight: ReadonlySet<string>;
  /** Tensors that come to central in any case. */
  readonly home: ReadonlySet<string>;
  /** By `<stage> <t_id>` of the part that makes them: who reads its regions. */
  readonly readers: ReadonlyMap<string, readonly Reader[]>;
}

/** A plan in use. */
export interface PlanRun {
  readonly plan: Plan;
  readonly facts: SchedulablePlan;
  readonly ways: Ways;
  since: number;
  /** Accepted frames that use it. */
  open: number;
  /** Stages that stand-ins have to prepare, because nodes of their placement cannot do all of their parts. */
  readonly standby: Set<number>;
}

/** An accepted frame whose sections are frames of their own; it ends when all of them have ended. */
export interface SectionedFrame {
  /** The i_id of its first section, which stands for the whole frame. */
  readonly i_id: string;
  readonly waiting: QueuedFrame;
  readonly run: PlanRun;
  readonly hard_at: number;
  /** Number of sections, and how many were opened. */
  readonly count: number;
  opened: number;
  /** Whether its picture is only at the node where it was born. */
  isAway: boolean;
  /** Of the sections that have ended. */
  readonly ends: FrameEnd[];
  /** Why it cannot end well; then no further section is opened. */
  failure: Failure | undefined;
}

/** An accepted frame, or a section of one. */
export interface Frame extends QueuedFrame {
  readonly i_id: string;
  readonly run: PlanRun;
  /** Absent: the frame is a whole picture, or a tensor. */
  readonly section: { readonly of: SectionedFrame; readonly number: number } | null;
  readonly policy: CameraPolicy;
  readonly hard_at: number;
  phase: 'opening' | 'running' | 'finishing';
  readonly accepted_at: number;
  /** When its phases `running` and `finishing` began; null before. */
  opened_at: number | null;
  finishing_at: number | null;
  readonly stages: readonly StageRun[];
  readonly missing: { stage: number; t_id: number }[];
  /** Where its tensors are: at central, or at the node where it was born. */
  at: string;
  /** Nodes that read it from its topic, and their runs. */
  readonly copies: Map<string, string>;
  /** Central is taking it from there. */
  isTaken: boolean;
  /** Only the node where it was born has its picture. */
  isAway: boolean;
  /** The tensor of the exit that the frame takes. */
  exit: string | null;
  /** Why other nodes computed what the plan gives to some. */
  fallback: Fallback | undefined;
  readonly requests: Request[];
  /** By node, stage and attempt. */
  readonly dispatches: Map<string, Dispatch>;
  /** Nodes that may have regions of it. */
  readonly visited: Set<string>;
  /** Parts are to be made again, of stages that may have been looked at already. */
  isBehind: boolean;
  /** `send` effects by their request: what was ordered of whom. */
  readonly sends: Map<number, Order>;
  bytes_up: number;
  bytes_down: number;
  /** Encoded bytes that nodes sent to other nodes. */
  bytes_between: number;
}

/** What a `send` orders: regions of a part, of a node that has them, and their deliveries. */
export interface Order {
  readonly part: PartRun;
  readonly from: string;
  readonly deliveries: readonly Delivery[];
}

/** A stage of an accepted frame. */
export interface StageRun {
  readonly stage: Stage;
  state: 'waiting' | 'running' | 'done';
  readonly parts: readonly PartRun[];
  /** Parts that are neither done nor missing. */
  remaining: number;
  /** Parts without a live request. */
  unplaced: number;
  /** Rises with each placement: tells apart the answers of one node to several requests. */
  attempt: number;
  /** Whether parts that are missing at `due_at` are filled with zeros. */
  fills: boolean;
  /** Deadline of the stage: T_L, or the frame's hard limit. */
  due_at: number;
}

/** A part of an accepted frame. */
export interface PartRun {
  readonly stage: number;
  readonly facts: SchedulablePart;
  state: 'unplaced' | 'requested' | 'moving' | 'done' | 'missing';
  readonly requests: Request[];
  /** Requests that ended with an error, a time-out or a lost node. */
  tries: number;
  /** Nodes that could not do the part. */
  readonly failed_on: Set<string>;
  last_error: string;
  hedged: boolean;
  used: Request | null;
  /** Where it will be placed, chosen when the parts that it reads were placed. */
  home: Node | null;
  /** By tensor: who has what it made, and the attempt that made it there. */
  readonly at: Map<string, Map<string, number>>;
  /** Deliveries to nodes of parts that read it, by `deliveryName`. */
  readonly sent: Map<string, Delivery>;
  /** What a node is to send to central. */
  fetch: Fetch | null;
}

/** A region that a node sends to the node of a part that reads it. */
export interface Delivery {
  readonly from: string;
  /** The node said that the network has it: that the node leaves does not matter then. */
  isSent: boolean;
}

/** Regions of one part on their way to central. */
export interface Fetch {
  readonly from: string;
  readonly attempt: number;
  readonly tensors: readonly string[];
  /** They have come, and are being pasted. */
  isMoving: boolean;
}

/** The ways of the regions of a request that was sent. */
export interface Way {
  /** One for each of the part's links. */
  readonly in: Supply[];
  readonly out: readonly Route[];
  /** Outputs that come to central, and those that the node keeps. */
  readonly home: readonly string[];
  readonly kept: readonly string[];
  /** Names of what it sends to nodes of parts that read it, as long as these keep what they get. */
  readonly deliveries: Set<string>;
  /** Bytes that they get. */
  readonly coming: ReadonlyMap<Node, number>;
}

/** One request to one node for one part. */
export interface Request {
  readonly node: Node;
  readonly part: PartRun;
  readonly dispatch: Dispatch;
  readonly hedged: boolean;
  /** Whether this is a copy, made to measure a node or to audit another one; never cancelled. */
  readonly probe: boolean;
  readonly predicted_ms: number;
  /** The node's `departures` as it was assigned; -1 once the node has lost the plan. */
  departures: number;
  /** Once it is sent; null where all inputs were inline and all outputs come to central. */
  way: Way | null;
  /** Bytes to the node and to central, as far as they travel. */
  bytes_in: number;
  bytes_home: number;
  state: 'queued' | 'sent' | 'answered' | 'failed' | 'dropped';
  sent_at: number | null;
  received_at: number | null;
  /** When its outputs were in central's tensors. */
  pasted_at: number | null;
  compute_ms: number | null;
  bytes: number;
}

/**
 * The requests that one placement gave to one node: the unit of prediction, hedging and statistics. It is sent as one
 * message, or as several where credit is short.
 */
export interface Dispatch {
  readonly id: number;
  readonly node: Node;
  readonly frame: Frame;
  readonly stage: StageRun;
  readonly attempt: number;
  /** The audit that this is the second request of. */
  readonly audit: string | undefined;
  readonly requests: Request[];
  readonly assigned_at: number;
  /** Predicted waiting and computing, ms; null where the node's speed is not known. */
  readonly predicted_ms: number | null;
  readonly hedge_ms: number;
  /** Requests that are queued or sent. */
  open: number;
  messages: number;
  queue_ms: number;
  /** Whether other nodes were requested too. */
  late: boolean;
  /** Whether a missing answer has lowered the node's speed. */
  silence_noted: boolean;
  /** When the node last answered something else before its first answer to this dispatch; null until then. */
  busy_until: number | null;
  /** When the last answer to this dispatch came. */
  answered_at: number;
  /** Cost of the parts that were answered in time, and the compute time that the node claims for them. */
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
  phase: 'requested' | 'comparing' | 'deciding' | 'judging';
}
