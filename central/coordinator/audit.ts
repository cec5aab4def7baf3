import { hasFrameFor } from './birthplace.ts';
import { candidatesFor } from './candidates.ts';
import type { PartAnswer, PartResult } from './events.ts';
import { endFrame } from './frames.ts';
import { distrust } from './losses.ts';
import { isPlaced, isReady, mayStandIn, readyNodes } from './may-run.ts';
import { loseRequests } from './nodes.ts';
import { makeAgain, makerOf } from './regions.ts';
import { answer, assign, end } from './requests.ts';
import { distrustSections } from './sectioned.ts';
import type { Audit, Frame, Node, PartRun, StageRun, State } from './state.ts';

/**
 * Audits: another node computes a part again whose result was taken, and the two results are compared. The part is
 * chosen after its result came, so no node knows in advance. No frame waits for an audit: its request is a copy, like a
 * probe.
 *
 *   requested --second result--> comparing --they agree--> over
 *                                comparing --they differ--> deciding --central can do the stage--> judging
 *                                comparing --they differ, the second is central's--> over, the node is left out
 *   judging --central has computed the part too--> over; a node that differs from central is left out
 *   any --the other node cannot, central cannot decide, too long--> over
 *
 *   1. At most `AUDITS` are under way, one of a node; each ends with one `audit-over`.
 *   2. A node that is left out gets no work and prepares nothing until it is restarted; after a second time, until
 *      central is. Its parts go to other nodes, also those of stages under way. A frame in which later stages have read its
 *      results ends with an error. Ended frames that used its results are named.
 *   3. A node is left out only for a difference from what central itself computed.
 */

/** Most audits under way: the effect runner keeps inputs and outputs of a part for each. */
export const AUDITS = 8;
/** A node's results are all audited, one at a time, until this many have agreed; afterwards `audit_share` of them. */
const FIRST = 3;
/** The same for a node that was left out and let in again. */
const FIRST_AGAIN = 50;
/** A node that was left out this often stays out when it is restarted. */
const CHANCES = 2;

/** A number in [0, 1) that no node can predict (mulberry32 with a random seed). */
function draw(s: State): number {
  s.audit_seed = (s.audit_seed + 0x6d2b79f5) >>> 0;
  let t = s.audit_seed;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}

function isWanted(s: State, node: Node): boolean {
  const { audit_share } = s.options;
  if (node.isLocal || audit_share <= 0 || s.audits.size >= AUDITS) return false;
  if (draw(s) >= audit_share && node.audit.agreed >= (node.audit.left_out_times > 0 ? FIRST_AGAIN : FIRST))
    return false;
  return ![...s.audits.values()].some(({ suspect }) => suspect === node);
}

/** The node that computes a part again: one with least to do; central only where no other can and central is ready. */
function auditorFor(s: State, frame: Frame, stage: StageRun, part: PartRun, suspect: Node): Node | undefined {
  const { id, on } = stage.stage;
  const others = readyNodes(s, frame.run, id).filter(
    (node) =>
      node !== suspect &&
      hasFrameFor(s, frame, part, node) &&
      isPlaced(node, on, part.facts.t_id) &&
      !part.failed_on.has(node.id),
  );
  const least = Math.min(...others.map(({ busy_ms }) => busy_ms));
  const free = others.filter(({ busy_ms }) => busy_ms === least);
  const chosen = free[Math.floor(draw(s) * free.length)];
  if (chosen !== undefined) return chosen;
  if (!hasFrameFor(s, frame, part, s.central)) return undefined;
  return mayStandIn(s.central, stage.stage) && isReady(s.central, frame.run, id) ? s.central : undefined;
}

/** Begins the audit of a part whose regions are about to move; returns its id, or undefined where none begins. */
export function audit(s: State, frame: Frame, stage: StageRun, part: PartRun, suspect: Node): string | undefined {
  if (!isWanted(s, suspect)) return undefined;
  const auditor = auditorFor(s, frame, stage, part, suspect);
  if (auditor === undefined) return undefined;
  const id = `a${s.audit_count++}`;
  const [candidate] = candidatesFor([auditor], frame, stage);
  assign(s, frame, stage, candidate!, [part], { attempt: stage.attempt++, probe: true, audit: id });
  const until = s.now + s.options.hard_limit_ms;
  const { i_id, run } = frame;
  s.audits.set(id, {
    id,
    suspect,
    run,
    stage: stage.stage.id,
    part,
    i_id,
    request: part.requests.at(-1)!,
    until,
    phase: 'requested',
  });
  s.timers.set(`audit ${id}`, until, { kind: 'look' });
  return id;
}

/** The audit that a result or error is the second answer to. */
export function auditOf(s: State, event: PartAnswer): Audit | undefined {
  for (const one of s.audits.values()) {
    const { request, run, i_id, stage, part, phase } = one;
    if (phase !== 'requested' || request.node.id !== event.node || request.sent_at === null) continue;
    if (i_id !== event.i_id || stage !== event.stage || part.facts.t_id !== event.t_id) continue;
    if (run.plan.id === event.plan && request.dispatch.attempt === event.attempt) return one;
  }
  return undefined;
}

/** The second result has come: compare it with the first. */
export function onSecond(s: State, one: Audit, event: PartResult): void {
  answer(s, one.request, event);
  if (event.handle === undefined) {
    one.request.state = 'failed';
    return;
  }
  one.phase = 'comparing';
  s.effects.push({ type: 'compare', audit: one.id, handle: event.handle });
}

/** Both results were compared; null: the second was not what was requested. */
export function onCompared(s: State, id: string, agree: boolean | null): void {
  const one = s.audits.get(id);
  if (one === undefined || one.phase !== 'comparing') return;
  if (agree === null) {
    one.request.node.counts.errors++;
    over(s, one);
    return;
  }
  s.extra.audited++;
  one.suspect.counts.audited++;
  if (agree) {
    one.suspect.audit.agreed++;
    one.request.node.audit.agreed++;
    over(s, one);
  } else if (one.request.node.isLocal) {
    over(s, one);
    leaveOut(s, one.suspect, one);
  } else {
    one.phase = 'deciding';
    one.run.standby.add(one.stage);
    s.plans_unsettled = true;
  }
}

/** Central has computed the part too and says which node agrees; null: it could not compute the part. */
export function onJudged(
  s: State,
  id: string,
  said: { readonly suspect: boolean; readonly auditor: boolean } | null,
): void {
  const one = s.audits.get(id);
  if (one === undefined || one.phase !== 'judging') return;
  over(s, one);
  if (said === null) undecided(s, one);
  else {
    if (!said.suspect) leaveOut(s, one.suspect, one);
    if (!said.auditor) leaveOut(s, one.request.node, one);
  }
}

/** Ends audits to which no answer will come, and has central decide where it can. */
export function sweepAudits(s: State): void {
  for (const one of s.audits.values()) {
    const { request, run, phase } = one;
    const isGone = s.now >= one.until || s.plans.get(run.plan.id) !== run;
    const lost =
      phase === 'requested' &&
      (request.state === 'failed' ||
        (request.state === 'dropped' &&
          (request.sent_at === null || request.node.presence !== 'online' || request.node.audit.out)));
    const mayJudge = phase === 'deciding' && isReady(s.central, run, one.stage);
    const stage = run.plan.stages[one.stage]!;
    const mayCentral = isPlaced(s.central, stage.on) || mayStandIn(s.central, stage);
    const cannotJudge =
      phase === 'deciding' && (!mayCentral || s.central.readiness.get(run.plan.id)?.state === 'refused');
    if (mayJudge && !isGone) {
      one.phase = 'judging';
      s.effects.push({ type: 'judge', audit: one.id });
    } else if (isGone || lost || cannotJudge) {
      over(s, one);
      if (phase === 'deciding' || phase === 'judging') undecided(s, one);
    }
  }
}

/** The first result of an audit was not what was requested. */
export function onFirstFailed(s: State, part: PartRun): void {
  for (const one of s.audits.values()) if (one.part === part) over(s, one);
}

/** Ends all audits, as central stops. */
export function endAudits(s: State): void {
  for (const one of s.audits.values()) over(s, one);
}

function over(s: State, { id, request }: Audit): void {
  if (request.state === 'queued') end(s, request, 'dropped');
  s.audits.delete(id);
  s.timers.clear(`audit ${id}`);
  s.effects.push({ type: 'audit-over', audit: id });
}

function undecided(s: State, { suspect, request, run, stage, part }: Audit): void {
  const nodes = [suspect.id, request.node.id];
  s.effects.push({ type: 'audit-undecided', nodes, plan: run.plan.id, stage, t_id: part.facts.t_id });
}

/** A node announces itself under another boot id: it gets another chance, and is audited more closely. */
export function onRestarted(s: State, node: Node): void {
  if (node.audit.left_out_times < CHANCES) readmit(s, node);
}

/**
 * A person readmits a node, however often it was left out: it is audited more closely, and may be restarted once again.
 */
export function onReadmitted(s: State, node: Node): void {
  if (!node.audit.out) return;
  node.audit.left_out_times = 1;
  readmit(s, node);
}

function readmit(s: State, node: Node): void {
  if (!node.audit.out) return;
  node.audit.out = false;
  node.audit.agreed = 0;
  s.plans_unsettled = true;
  s.effects.push({ type: 'let-in', node: node.id });
}

/** A node answered wrongly: it gets no more work, and parts of open frames that it did are done again. */
function leaveOut(s: State, node: Node, { run, stage, part }: Audit): void {
  if (node.audit.out) return;
  node.audit.out = true;
  node.audit.left_out_times++;
  const { plan } = run;
  const frames = [...node.audit.recent];
  s.effects.push({ type: 'leave-out', node: node.id, plan: plan.id, stage, t_id: part.facts.t_id, frames });
  s.plans_unsettled = true;
  loseRequests(s, [...node.open, ...node.queue], true);
  distrust(s, node);
  for (const frame of [...s.frames.values()]) takeBack(s, frame, node);
  distrustSections(s, node);
}

/** Has the parts of an open frame that a node did done again; the frame ends where later stages have begun to read them. */
function takeBack(s: State, frame: Frame, node: Node): void {
  const done = (part: PartRun): boolean => part.used?.node === node && part.state === 'done';
  const begun = frame.stages.flatMap(({ parts }) => parts.filter(({ requests }) => requests.length > 0));
  // What the node has sent to others lies there, whoever makes it again.
  const isRead = ({ state }: StageRun, read: PartRun): boolean =>
    state === 'done' ||
    read.sent.size > 0 ||
    read.fetch !== null ||
    begun.some(({ facts }) => facts.links.some((link) => makerOf(frame, link) === read));
  // Of two makers of a part the other one may have been used, and this one read.
  const isSupplied = (made: PartRun): boolean =>
    frame.requests.some(({ part, way }) =>
      part.facts.links.some((link, k) => {
        const supply = way?.in[k];
        return typeof supply === 'object' && supply.from === node.id && makerOf(frame, link) === made;
      }),
    );
  const read = frame.stages.find((stage) =>
    stage.parts.some((part) => (done(part) && isRead(stage, part)) || isSupplied(part)),
  );
  if (read !== undefined) {
    endFrame(s, frame, 'error', {
      code: 'TESSERA_RUN_FAILED',
      message: `node ${node.id}, whose results the frame used in stage ${read.stage.id}, was found to answer wrongly and is left out`,
      hint: 'send the frame again',
    });
    return;
  }
  // A frame that finishes at an exit does not read the stages that were under way.
  if (frame.phase === 'finishing') return;
  for (const stage of frame.stages)
    for (const part of stage.parts)
      if (done(part)) {
        makeAgain(frame, part);
        part.at.clear();
        part.failed_on.add(node.id);
        part.last_error = `${node.id} answered wrongly`;
      }
}
