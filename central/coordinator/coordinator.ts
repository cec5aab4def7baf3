import { endAudits, onCompared, onJudged, onReadmitted, onRestarted, sweepAudits } from './audit.ts';
import { onTaken, takeFrame } from './birthplace.ts';
import type { QueuedFrame } from './camera-state.ts';
import { flush } from './credit.ts';
import type { Effect } from './effects.ts';
import type {
  AnswerAddress,
  Event,
  Finished,
  FrameFailed,
  FrameNotOpened,
  FrameOpened,
  FrameTaken,
  RegionsMissing,
  RegionsMoved,
  RegionsSent,
} from './events.ts';
import { configure, hasRoom, nextFrame, onKnown, onOffered, skipQueued, unconfigure } from './frame-queue.ts';
import { advance, endFrame, fill, onFinished, onHardLimit, onOpened, openFrame } from './frames.ts';
import { onFetchLate, onMissing } from './losses.ts';
import { frameCapacity } from './may-run.ts';
import { type MeasuredNode, measuredAt } from './measured.ts';
import { newState } from './new-state.ts';
import { onHeard, onNodeOffline, onNodeOnline, sweep } from './nodes.ts';
import type { CoordinatorOptions } from './options.ts';
import { giveUp, hedge } from './placement.ts';
import { offerPlan, onNodeReady, onNodeRefused, settlePlans } from './plans.ts';
import { isAwaited, onPartError, onPartResult, onRegionsMoved } from './results.ts';
import { acceptSectioned, failSectioned, nextSectioned, openSection, settleSectioned } from './sectioned.ts';
import { type Snapshot, snapshotOf } from './snapshot.ts';
import type { Alarm, Frame, PlanRun, State } from './state.ts';
import { isOrdered, onArrived, onSent } from './transfers.ts';

/** A `timer` event this late means that the process was suspended: events of the meantime have yet to come. */
const STALL_MS = 250;
const STALL_GRACE_MS = 50;

/**
 * Central's behaviour: events in, effects out, nothing else. States and moves are in state.ts.
 *
 * An event changes the state that it is about. Then `settle` does everything that has become possible: plans start,
 * frames are accepted, stages begin, parts are placed, work is sent. So an event need not know what waits for it, and
 * nothing waits for an event that has already come.
 *
 * Invariants, for every sequence of events (test/central/coordinator/model.test.ts):
 *
 *  1. Every accepted frame ends exactly once: one `publish`, then `release-frame`. A section of a frame ends with its
 *     `release-frame` alone; when all sections have, one `publish` names the frame, by the i_id of its first section.
 *  2. No effect names a frame after its `release-frame`, or before its `open-frame`.
 *  3. No part is accepted twice: between two `move-regions` of results of a part lies a `regions-moved` that was not ok,
 *     a `leave-out` of the node whose result the first one was, or the loss of what the part made. A frame that ends ok
 *     used one result of each part.
 *  4. Every handle of a `part-result` or `regions-arrived` is answered by exactly one `move-regions`, `discard` or
 *     `compare`, at once; every offered `ref` by exactly one `free-payload`, in the end.
 *  5. Work goes only to nodes that are online, not suspect, and have said `node-ready` for that plan since they came
 *     online and since the last `release-plan`; and only for stages that they were asked to prepare.
 *  6. Open frames, their bytes and the bytes of payloads stay within the options (a frame larger than the limit runs
 *     alone). A node's unanswered bytes, the results that it owes central, and what other nodes are to send it with their
 *     own work stay within its window, except one message; the results that all nodes owe stay within the options,
 *     except one part.
 *  7. While a frame is open a timer is set: no frame is open for longer than the hard limit.
 *  8. The same events give the same effects.
 *  9. After the `finish` of a frame no work, move or fill names it; a stage after an exit gets work only once the exit
 *     is done and was not confident.
 * 10. Every audit that a `move-regions` begins ends with one `audit-over`, and no later effect names it. No frame waits
 *     for an audit. A node that is left out gets no work, and no frame that used its results ends well.
 * 11. A result that `isAwaited` rejects would have been discarded.
 * 12. Only plans between their `plan-added` and their `plan-retired` are prepared, or used by frames.
 * 13. A region is made by a `part-result`, which says where it is: at central (once it was pasted), or at the node that
 *     made it, until that node leaves, is left out, loses the plan or says that the region is missing (regions.ts). A part
 *     gets work only when each region that it reads is packed from central, is held by the node that gets the work, or
 *     was sent there by, or ordered of, a node that has it and is not silent. A frame ends ok only if each of its regions
 *     was made, and those that central reads are there.
 * 14. A part gets work only at a node of its placement, at the node that it is pinned to, or at one that the stage's
 *     `fallback` lets stand in.
 * 15. A frame that was born at a node is opened there or at central, and taken to central at most once. A part that reads
 *     it gets work only where it is; once it is at central, anywhere. Only a node that has it gets work without it.
 * 16. Every node that may have regions of a frame, and is not offline, is told once that the frame has ended, with its
 *     `release-frame`.
 */
export class Coordinator {
  readonly #state: State;
  #wake: number | undefined;
  #stalled = false;
  #drained = false;

  constructor(options: CoordinatorOptions) {
    this.#state = newState(options);
  }

  /** Takes one event and returns the effects, in order. */
  handle(event: Event): Effect[] {
    const s = this.#state;
    s.now = Math.max(s.now, event.at);
    s.effects = [];
    this.#apply(event);
    this.#settle();
    this.#free();
    this.#setTimer();
    return s.effects;
  }

  /** Whether a message with results may answer a request, by its address; the others are counted and need no event. */
  isAwaited(of: AnswerAddress): boolean {
    return isAwaited(this.#state, of);
  }

  /** Whether regions that a node sends to central were ordered. */
  isOrdered(of: AnswerAddress): boolean {
    return isOrdered(this.#state, of);
  }

  /** Results and errors so far that answered no request; those that were only late are not among them. */
  get unused(): number {
    return this.#state.unused;
  }

  /** Counters and states of nodes. */
  snapshot(): Snapshot {
    return snapshotOf(this.#state);
  }

  /** What was measured of the nodes that may get work, at a plan. */
  measuredAt(plan: string): ReadonlyMap<string, MeasuredNode> {
    return measuredAt(this.#state, plan);
  }

  #apply(event: Event): void {
    const s = this.#state;
    switch (event.type) {
      case 'plan':
        if (s.phase === 'running') offerPlan(s, event.model, event.facts);
        s.plans_unsettled = true;
        break;
      case 'frame-offered':
        onOffered(s, event);
        break;
      case 'frame-known':
        onKnown(s, event);
        break;
      case 'camera-config':
        configure(s, event.camera, event.policy);
        break;
      case 'camera-forgotten':
        unconfigure(s, event.camera);
        break;
      case 'node-online': {
        const known = s.nodes.get(event.node);
        if (known !== undefined && known.boot_id !== event.boot_id) onRestarted(s, known);
        onNodeOnline(s, event);
        break;
      }
      case 'node-readmitted': {
        const node = s.nodes.get(event.node);
        if (node !== undefined) onReadmitted(s, node);
        break;
      }
      case 'node-drained': {
        if (event.isDrained) s.drained.add(event.node);
        else s.drained.delete(event.node);
        const node = s.nodes.get(event.node);
        if (node !== undefined) node.isDrained = event.isDrained;
        s.plans_unsettled = true;
        break;
      }
      case 'compared':
        onCompared(s, event.audit, event.agree);
        break;
      case 'judged':
        onJudged(s, event.audit, event.said);
        break;
      case 'timer':
        this.#ring(event.at);
        break;
      case 'drain':
        this.#drain();
        break;
      case 'stop':
        this.#stop(event.relieved === true);
        break;
      case 'part-result':
        onPartResult(s, event);
        break;
      case 'part-error':
        onPartError(s, event);
        break;
      case 'regions-arrived':
        onArrived(s, event);
        break;
      case 'node-offline':
      case 'heartbeat':
      case 'node-ready':
      case 'node-refused':
      case 'work-sent':
        this.#applyToNode(event);
        break;
      default:
        this.#applyToFrame(event);
    }
  }

  #applyToNode(event: Extract<Event, { node: string }>): void {
    const s = this.#state;
    const node = s.nodes.get(event.node);
    if (node === undefined) return;
    if (event.type === 'node-offline') {
      onNodeOffline(s, node);
      return;
    }
    if (event.type === 'work-sent') {
      const frame = s.frames.get(event.i_id);
      if (frame !== undefined) frame.bytes_up += event.bytes;
      node.counts.bytes_up += event.bytes;
      return;
    }
    if (node.presence === 'offline') return;
    onHeard(s, node);
    if (event.type === 'heartbeat') return;
    if (event.type === 'node-ready') onNodeReady(s, node, event);
    if (event.type === 'node-refused') onNodeRefused(s, node, event);
    s.plans_unsettled = true;
  }

  #applyToFrame(
    event:
      | FrameOpened
      | FrameNotOpened
      | FrameTaken
      | FrameFailed
      | RegionsSent
      | RegionsMissing
      | RegionsMoved
      | Finished,
  ): void {
    const s = this.#state;
    const frame = s.frames.get(event.i_id);
    if (frame === undefined) return;
    if (event.type === 'frame-opened') onOpened(s, frame, event.copies);
    else if (event.type === 'frame-not-opened') takeFrame(s, frame);
    else if (event.type === 'frame-taken') onTaken(frame);
    else if (event.type === 'frame-failed') endFrame(s, frame, 'error', event.failure);
    else if (event.type === 'regions-sent') onSent(frame, event);
    else if (event.type === 'regions-missing') onMissing(s, frame, event);
    else if (event.type === 'regions-moved') onRegionsMoved(s, frame, event);
    else onFinished(s, frame, event.failure);
  }

  /** Acts on every deadline that has passed. */
  #ring(at: number): void {
    const s = this.#state;
    this.#wake = undefined;
    const due = s.timers.next();
    // After a suspension the answers of the meantime are taken first; otherwise every node would look late.
    if (due !== undefined && at - due > STALL_MS && !this.#stalled) {
      this.#stalled = true;
      return;
    }
    this.#stalled = false;
    // Deadlines that these alarms set wait for the next `timer`.
    const alarms: Alarm[] = [];
    for (let alarm = s.timers.take(at); alarm !== undefined; alarm = s.timers.take(at)) alarms.push(alarm);
    for (const alarm of alarms) this.#act(alarm);
  }

  #act(alarm: Alarm): void {
    const s = this.#state;
    switch (alarm.kind) {
      case 'sweep':
        sweep(s);
        break;
      case 'look':
        s.plans_unsettled = true;
        break;
      case 'hedge':
        if (this.#isOpen(alarm.dispatch.frame)) hedge(s, alarm.dispatch);
        break;
      case 'give-up':
        if (this.#isOpen(alarm.dispatch.frame)) giveUp(s, alarm.dispatch);
        break;
      case 'fetch':
        if (this.#isOpen(alarm.frame)) onFetchLate(s, alarm.frame, alarm.part);
        break;
      case 'fill':
        if (this.#isOpen(alarm.frame)) fill(s, alarm.frame, alarm.stage);
        break;
      case 'hard-limit':
        if (this.#isOpen(alarm.frame)) onHardLimit(s, alarm.frame);
    }
  }

  /** An earlier alarm of the same `timer` may have ended the frame. */
  #isOpen(frame: Frame): boolean {
    return this.#state.frames.get(frame.i_id) === frame;
  }

  #settle(): void {
    const s = this.#state;
    if (s.phase === 'stopped') return;
    let again = true;
    while (again) {
      if (s.plans_unsettled) {
        s.plans_unsettled = false;
        settlePlans(s);
      }
      this.#accept();
      again = false;
      for (const frame of [...s.frames.values()]) if (advance(s, frame)) again = true;
      if (settleSectioned(s)) again = true;
      again ||= s.plans_unsettled;
    }
    sweepAudits(s);
    flush(s);
    if (s.phase === 'draining' && s.frames.size === 0 && s.sectioned.size === 0) this.#pushDrained();
  }

  /** Tells nodes which frames have ended. */
  #free(): void {
    const s = this.#state;
    for (const [node, i_ids] of s.freed)
      if (s.nodes.get(node)?.presence !== 'offline') s.effects.push({ type: 'free', node, i_ids });
    s.freed.clear();
  }

  #accept(): void {
    const s = this.#state;
    if (s.phase === 'stopped') return;
    const open = new Map<string, number>();
    for (const { model } of s.frames.values()) open.set(model, (open.get(model) ?? 0) + 1);
    const capacities = new Map<PlanRun, number>();
    const capacityOf = (run: PlanRun): number => {
      const capacity = capacities.get(run) ?? Math.min(s.options.max_open_per_model, frameCapacity(s, run));
      capacities.set(run, capacity);
      return capacity;
    };
    const isFree = (model: string, run: PlanRun): boolean => (open.get(model) ?? 0) < capacityOf(run);
    const mayBegin = ({ model, layout }: QueuedFrame): PlanRun | undefined => {
      if (layout !== null && s.sectioned.size >= s.options.max_sectioned) return undefined;
      const run = s.models.get(model)?.active ?? undefined;
      return run !== undefined && isFree(model, run) ? run : undefined;
    };
    while (s.frames.size < s.options.max_open) {
      // Sections of accepted frames come before other frames.
      const begun = nextSectioned(s, ({ waiting, run }) => isFree(waiting.model, run));
      const next = begun === undefined && s.phase === 'running' ? nextFrame(s, mayBegin) : undefined;
      const model = begun?.waiting.model ?? next?.waiting.model;
      if (model === undefined || (begun !== undefined && !hasRoom(s, begun.run))) return;
      if (begun !== undefined) openSection(s, begun);
      else if (next!.waiting.layout !== null) acceptSectioned(s, next!.waiting, next!.run);
      else openFrame(s, next!.waiting, next!.run);
      open.set(model, (open.get(model) ?? 0) + 1);
    }
  }

  #drain(): void {
    const s = this.#state;
    if (s.phase !== 'running') return;
    s.phase = 'draining';
    skipQueued(s);
  }

  #stop(relieved: boolean): void {
    const s = this.#state;
    if (s.phase === 'stopped') return;
    this.#drain();
    const failure = {
      code: 'TESSERA_CENTRAL_RESTARTED',
      message: 'central was stopped while the frame was under way',
      hint: 'send it again',
    } as const;
    for (const frame of [...s.frames.values()]) endFrame(s, frame, 'error', failure);
    failSectioned(s, failure);
    endAudits(s);
    for (const node of s.nodes.values())
      for (const plan of node.readiness.keys())
        if (node.presence !== 'offline' && !node.isLocal && !relieved)
          s.effects.push({ type: 'release-plan', node: node.id, plan });
    s.phase = 'stopped';
    this.#pushDrained();
  }

  #pushDrained(): void {
    if (this.#drained) return;
    this.#drained = true;
    this.#state.effects.push({ type: 'drained' });
  }

  #setTimer(): void {
    const s = this.#state;
    if (s.phase === 'stopped') return;
    const at = this.#stalled ? s.now + STALL_GRACE_MS : s.timers.next();
    if (at === undefined || at === this.#wake) return;
    this.#wake = at;
    s.effects.push({ type: 'set-timer', at });
  }
}
