import { Coordinator } from '../../central/coordinator/coordinator.ts';
import type {
  CancelEffect,
  Effect,
  FreeEffect,
  PartWay,
  SendEffect,
  Source,
  WorkEffect,
} from '../../central/coordinator/effects.ts';
import type { MadeRegion, PartAnswer, PartResult, UntimedEvent } from '../../central/coordinator/events.ts';
import type { FrameEnd } from '../../central/coordinator/frame-end.ts';
import { type CoordinatorOptions, defaultOptions } from '../../central/coordinator/options.ts';
import type { SectionLayout } from '../../shared/model/sections.ts';
import type { PartLink, SchedulablePlan } from '../../shared/plan/compiled-plan.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { SkipReason } from '../../shared/protocol/messages/result.ts';
import type { WorkError } from '../../shared/protocol/messages/work.ts';
import { type Behaviour, STEADY } from './behaviour.ts';
import { Invariants } from './invariants.ts';
import { NodeRegions, type RegionName } from './node-regions.ts';
import { Random } from './random.ts';

/** Central decodes a picture in this time. */
const DECODE_MS = 2;

/** A work message at its node; the time until its first tile runs counts as waiting, as in agents' reports. */
interface Message {
  readonly arrived: number;
  queueMs: number | undefined;
}

/** A part that waits at its node. */
interface Item {
  readonly work: WorkEffect;
  readonly t_id: number;
  readonly message: Message;
  /** Nodes because of whose wrong results the inputs that came with the work are wrong. */
  readonly liars: readonly string[];
  readonly way: PartWay | undefined;
}

interface SimNode {
  readonly id: string;
  readonly behaviour: Behaviour;
  boot: number;
  /** `stopped`: as by SIGSTOP, it does and sends nothing but its connection stays open. */
  state: 'up' | 'stopped' | 'down';
  readonly plans: Set<string>;
  queue: Item[];
  /** Parts whose inputs are not all there. */
  waiting: Item[];
  regions: NodeRegions;
  running: boolean;
  /** What would have happened while it was stopped. */
  later: (() => void)[];
}

/**
 * Handles of results whose node lied have a mark, and name all nodes because of which the results are wrong; only the
 * simulated effect runner sees both.
 */
const handleOf = (isLie: boolean, order: number, liars: readonly string[]): string =>
  [`${isLie ? 'x' : 'h'}${order}`, ...liars].join(' ');
const isWrong = (handle: string): boolean => handle.startsWith('x');
const liarsOf = (handle: string): readonly string[] => handle.split(' ').slice(1);

/** Whether a region comes with the work. */
const isPacked = (source: Source | undefined): boolean => source?.held === undefined && source?.from === undefined;

/** A frame that was offered and not accepted. */
export interface Skipped {
  readonly camera: string;
  readonly frame: string;
  readonly reason: SkipReason;
}

/**
 * Central's coordinator with a simulated effect runner, broker and nodes around it, on a virtual clock that is advanced
 * by hand. Every step is checked against the coordinator's invariants, unless that is switched off. The same seed and calls give the same run.
 */
export class Cluster {
  readonly options: CoordinatorOptions;
  readonly coordinator: Coordinator;
  readonly random: Random;
  readonly published: FrameEnd[] = [];
  readonly skipped: Skipped[] = [];
  /** One line per event and effect, for comparing runs; recorded on request only. */
  readonly log: string[] | undefined;
  /** Tiles done, by node, over all frames, used or not. */
  readonly done = new Map<string, number>();
  readonly work: WorkEffect[] = [];
  /** Frames that central took from the nodes where they were born. */
  readonly taken: string[] = [];
  /** Frames whose pictures have arrived at central from where they were born. */
  readonly arrived: string[] = [];
  readonly cancelled: CancelEffect[] = [];
  readonly sends: SendEffect[] = [];
  readonly freed: FreeEffect[] = [];
  /** What the coordinator requested last. */
  last: readonly Effect[] = [];
  steps = 0;
  now = 0;
  drained = false;
  /** Whether every step is checked; large fleets take seconds for a check. */
  isChecked = true;
  /** Chance that regions turn out to be wrong when they move; that a frame cannot be decoded. */
  badMove = 0;
  badFrame = 0;
  /** Chance that an exit is confident. */
  confident = 0;
  moveMs = 0.2;
  /** Nodes that were left out, in order. */
  readonly leftOut: string[] = [];
  /** Tiles of ended frames that were wrong, by frame. */
  readonly spoiled = new Set<string>();
  /** Where frames were born, by ref, and by i_id. */
  readonly #born = new Map<string, string>();
  readonly #birthplaces = new Map<string, string>();
  /** By frame, and by stage and part: the nodes because of which a region at central is wrong. */
  readonly #wrong = new Map<string, Map<string, readonly string[]>>();
  /** By frame with sections, the i_ids of these; by i_id, the exit that it finished with. */
  readonly #sections = new Map<string, string[]>();
  /** By i_id of a section that was born at a node, its frame; frames of which central has the picture. */
  readonly #wholes = new Map<string, string>();
  readonly #pictures = new Set<string>();
  readonly #exits = new Map<string, string | null>();
  readonly #out = new Set<string>();
  readonly #audits = new Map<string, { first: boolean; second: boolean }>();
  readonly #invariants: Invariants;
  readonly #nodes = new Map<string, SimNode>();
  readonly #facts = new Map<string, SchedulablePlan>();
  readonly #agenda: { at: number; order: number; run: () => void }[] = [];
  #order = 0;
  #refs = 0;
  #timer = 0;

  constructor(options: Partial<CoordinatorOptions> = {}, seed = 1, keepLog = false) {
    // Tests without audits count requests one by one.
    this.options = { ...defaultOptions, epoch: 7, audit_share: 0, ...options };
    this.coordinator = new Coordinator(this.options);
    this.random = new Random(seed);
    this.#invariants = new Invariants(this.options);
    this.log = keepLog ? [] : undefined;
    this.#nodes.set(CENTRAL, this.#newNode(CENTRAL, { delayMs: 0, bytesPerMs: 1e9 }));
    this.#nodes.get(CENTRAL)!.state = 'up';
  }

  #newNode(id: string, behaviour: Partial<Behaviour>): SimNode {
    const own = { ...STEADY, ...behaviour };
    const empty = { queue: [], waiting: [], regions: new NodeRegions(id), running: false, later: [] };
    return { id, behaviour: own, boot: 0, state: 'down', plans: new Set(), ...empty };
  }

  /** How a node behaves, to be changed in place. */
  behaviour(id: string): Behaviour {
    return this.#nodes.get(id)!.behaviour;
  }

  knows(id: string): boolean {
    return this.#nodes.has(id);
  }

  state(id: string): 'up' | 'stopped' | 'down' {
    return this.#nodes.get(id)!.state;
  }

  /** Starts a node, or starts it again after `kill`. */
  start(id: string, behaviour: Partial<Behaviour> = {}): void {
    const node = this.#nodes.get(id) ?? this.#newNode(id, behaviour);
    this.#nodes.set(id, node);
    node.state = 'up';
    node.boot++;
    node.plans.clear();
    Object.assign(node, { queue: [], waiting: [], regions: new NodeRegions(id), running: false, later: [] });
    const { boot } = node;
    this.tell({ type: 'node-online', node: id, boot_id: String(boot), tier: 'edge', holds_frames: true });
    const beat = (): void => {
      if (node.boot !== boot || node.state === 'down') return;
      if (node.state === 'up') this.tell({ type: 'heartbeat', node: id });
      this.at(this.now + this.options.heartbeat_ms, beat);
    };
    this.at(this.now + this.random.below(this.options.heartbeat_ms), beat);
  }

  /** An operator readmits an excluded node. */
  readmit(id: string): void {
    this.tell({ type: 'node-readmitted', node: id });
  }

  /** kill -9: everything is lost; the broker publishes the last will at once. */
  kill(id: string): void {
    const node = this.#nodes.get(id)!;
    if (node.state === 'down') return;
    node.state = 'down';
    node.boot++;
    this.tell({ type: 'node-offline', node: id });
  }

  /** kill -STOP */
  pause(id: string): void {
    const node = this.#nodes.get(id)!;
    if (node.state === 'up') node.state = 'stopped';
  }

  /** kill -CONT */
  resume(id: string): void {
    const node = this.#nodes.get(id)!;
    if (node.state !== 'stopped') return;
    node.state = 'up';
    for (const run of node.later.splice(0)) run();
  }

  /** A running node loses its regions, as where its worker thread ends. */
  loseRegions(id: string): void {
    this.#nodes.get(id)!.regions = new NodeRegions(id);
  }

  plan(model: string, facts: SchedulablePlan): void {
    this.#facts.set(facts.plan.id, facts);
    this.tell({ type: 'plan', model, facts });
  }

  /** A frame arrives. */
  offer(
    camera: string,
    frame = `f${this.#refs}`,
    models: readonly string[] = ['m'],
    bytes = 50_000,
    layout?: SectionLayout,
  ): void {
    const sections = layout === undefined ? {} : { sections: { models, layout } };
    const ref = `r${this.#refs++}`;
    this.tell({ type: 'frame-offered', ref, camera, frame, models, bytes, dedupe: false, ...sections });
  }

  /** A frame is born at a node, and offered. */
  born(node: string, camera: string, models: readonly string[] = ['m'], layout?: SectionLayout): void {
    const sections = layout === undefined ? {} : { sections: { models, layout } };
    const ref = `r${this.#refs++}`;
    this.#born.set(ref, node);
    this.#send(this.#nodes.get(node)!, 0, () =>
      this.tell({
        type: 'frame-offered',
        ref,
        camera,
        frame: ref,
        models,
        bytes: 0,
        dedupe: true,
        born: node,
        ...sections,
      }),
    );
  }

  /** Schedules an action at a time. */
  at(at: number, run: () => void): void {
    const agenda = this.#agenda;
    const entry = { at, order: this.#order++, run };
    const before = (a: typeof entry, b: typeof entry): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
    let child = agenda.push(entry) - 1;
    for (let parent = (child - 1) >> 1; child > 0 && before(entry, agenda[parent]!); parent = (child - 1) >> 1) {
      agenda[child] = agenda[parent]!;
      child = parent;
    }
    agenda[child] = entry;
  }

  #nextRun(): { at: number; order: number; run: () => void } | undefined {
    const agenda = this.#agenda;
    const top = agenda[0];
    const last = agenda.pop();
    if (top === undefined || last === undefined || agenda.length === 0) return top;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= agenda.length) break;
      const [a, b] = [agenda[child]!, agenda[child + 1]];
      if (b !== undefined && (b.at < a.at || (b.at === a.at && b.order < a.order))) child++;
      const next = agenda[child]!;
      if (last.at < next.at || (last.at === next.at && last.order < next.order)) break;
      agenda[parent] = next;
      parent = child;
    }
    agenda[parent] = last;
    return top;
  }

  /** Advances the clock to `until` ms. */
  run(until: number): void {
    while (this.#agenda.length > 0 && this.#agenda[0]!.at <= until) {
      const { at, run } = this.#nextRun()!;
      this.now = Math.max(this.now, at);
      run();
    }
    this.now = Math.max(this.now, until);
  }

  /** Advances the clock until no frame is open or waits; throws when that takes longer than `ms`. */
  settle(ms = 120_000): void {
    const end = this.now + ms;
    const busy = (): boolean => {
      const { open_frames, waiting } = this.coordinator.snapshot();
      return open_frames > 0 || Object.values(waiting).some((count) => count > 0);
    };
    while (busy()) {
      if (this.now > end) throw new Error(`still busy after ${ms} ms`);
      this.run(this.now + 10);
    }
    // Results that arrive after the end of their frame must have no effect.
    this.run(this.now + 2_000);
    // Audits have the same time limit as frames.
    if (this.#audits.size > 0) this.run(this.now + this.options.hard_limit_ms);
    this.#invariants.checkAtEnd();
    for (const { id, state, regions, waiting } of this.#nodes.values())
      if (state === 'up' && regions.size + waiting.length > 0)
        throw new Error(
          `invariant 16: ${id} has ${regions.size} regions and ${waiting.length} waiting parts in the end`,
        );
  }

  /** Passes an event to the coordinator, checks its effects and carries them out. */
  tell(event: UntimedEvent): void {
    const timed = { ...event, at: this.now };
    const unasked = timed.type === 'part-result' && timed.node !== CENTRAL && this.#isUnasked(timed);
    const effects = this.coordinator.handle(timed);
    this.last = effects;
    if (unasked && timed.handle !== undefined && !effects.some(({ type }) => type === 'discard'))
      throw new Error('invariant 11: a result was used that the coordinator called unasked');
    this.steps++;
    this.log?.push(`> ${JSON.stringify(timed)}`);
    for (const effect of effects) this.log?.push(`< ${JSON.stringify(effect)}`);
    try {
      if (this.isChecked) this.#invariants.check(timed, effects, this.coordinator.snapshot());
    } catch (error) {
      throw new Error(`${(error as Error).message} (step ${this.steps}, ${timed.type} at ${timed.at} ms)`);
    }
    for (const effect of effects) this.#carryOut(effect);
  }

  /** Whether the wire would drop the message before decoding it. */
  #isUnasked(event: PartResult): boolean {
    return !this.coordinator.isAwaited(event);
  }

  #soon(ms: number, event: UntimedEvent): void {
    this.at(this.now + ms, () => this.tell(event));
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case 'set-timer': {
        const timer = ++this.#timer;
        this.at(effect.at, () => {
          if (timer === this.#timer) this.tell({ type: 'timer' });
        });
        return;
      }
      case 'prepare':
        this.#reach(effect.node, (node) => {
          const { boot } = node;
          this.at(this.now + node.behaviour.prepareMs, () => {
            if (node.boot !== boot || node.state === 'down') return;
            node.plans.add(effect.plan.id);
            this.#send(node, 0, () =>
              this.tell({ type: 'node-ready', node: node.id, plan: effect.plan.id, request: effect.request }),
            );
          });
        });
        return;
      case 'release-plan':
        this.#reach(effect.node, (node) => {
          node.plans.delete(effect.plan);
          node.regions.dropPlan(effect.plan);
        });
        return;
      case 'open-frame': {
        const { i_id, ref, copies, section } = effect;
        if (section !== undefined)
          this.#sections.set(section.frame_id, [...(this.#sections.get(section.frame_id) ?? []), i_id]);
        const birthplace = this.#born.get(ref);
        if (birthplace !== undefined) {
          this.#birthplaces.set(i_id, birthplace);
          if (section !== undefined) this.#wholes.set(i_id, section.frame_id);
          if (section !== undefined && this.#pictures.has(section.frame_id)) this.#arrive(i_id);
          else this.#fetch(i_id, effect.at);
        } else if (this.random.chance(this.badFrame))
          this.#soon(2, {
            type: 'frame-failed',
            i_id,
            failure: { code: 'TESSERA_INPUT_INVALID', message: 'not a picture' },
          });
        else {
          const read = copies.filter(() => this.random.chance(0.8));
          this.#soon(2, { type: 'frame-opened', i_id, copies: read });
        }
        return;
      }
      case 'take-frame':
        this.taken.push(effect.i_id);
        this.#fetch(effect.i_id, CENTRAL);
        return;
      case 'work':
        this.work.push(effect);
        this.#deliver(effect);
        return;
      case 'cancel':
        this.cancelled.push(effect);
        this.#reach(effect.node, (node) => {
          const isCancelled = ({ work, t_id }: Item): boolean =>
            work.i_id === effect.i_id && work.stage === effect.stage && effect.t_ids.includes(t_id);
          const cancelled = [...node.waiting, ...node.queue].filter(isCancelled);
          node.queue = node.queue.filter((item) => !isCancelled(item));
          node.waiting = node.waiting.filter((item) => !isCancelled(item));
          for (const item of cancelled) this.#refuse(node, item, 'expired');
        });
        return;
      case 'send':
        this.sends.push(effect);
        this.#reach(effect.node, (node) => this.#sendRegions(node, effect));
        return;
      case 'free':
        this.freed.push(effect);
        this.#reach(effect.node, (node) => {
          for (const i_id of effect.i_ids) node.regions.endFrame(i_id);
          const isOpen = ({ work }: Item): boolean => !effect.i_ids.includes(work.i_id);
          node.queue = node.queue.filter(isOpen);
          node.waiting = node.waiting.filter(isOpen);
        });
        return;
      case 'compare': {
        const kept = this.#audits.get(effect.audit)!;
        kept.second = isWrong(effect.handle);
        this.#soon(this.moveMs, { type: 'compared', audit: effect.audit, agree: !kept.first && !kept.second });
        return;
      }
      case 'judge': {
        const { first, second } = this.#audits.get(effect.audit)!;
        this.#soon(3, { type: 'judged', audit: effect.audit, said: { suspect: !first, auditor: !second } });
        return;
      }
      case 'audit-over':
        this.#audits.delete(effect.audit);
        return;
      case 'leave-out':
        this.leftOut.push(effect.node);
        this.#out.add(effect.node);
        return;
      case 'let-in':
        this.#out.delete(effect.node);
        return;
      case 'move-regions': {
        const { i_id, stage, t_id } = effect;
        if (effect.audit !== undefined)
          this.#audits.set(effect.audit, { first: isWrong(effect.handle), second: false });
        const wrong = this.#wrong.get(i_id) ?? new Map();
        this.#wrong.set(i_id, wrong.set(`${stage} ${t_id}`, liarsOf(effect.handle)));
        const ok = !this.random.chance(this.badMove);
        const exit = ok && this.#invariants.exitOf(i_id, stage) !== undefined && this.random.chance(this.confident);
        this.#soon(this.moveMs, { type: 'regions-moved', i_id, stage, t_id, ok, exit });
        return;
      }
      case 'fill':
        for (const t_id of effect.t_ids) this.#wrong.get(effect.i_id)?.delete(`${effect.stage} ${t_id}`);
        return;
      case 'finish':
        this.#exits.set(effect.i_id, effect.exit);
        this.#soon(0.5, { type: 'finished', i_id: effect.i_id });
        return;
      case 'publish': {
        const { type: _, ...end } = effect;
        this.published.push(end);
        for (const i_id of this.#sections.get(end.i_id) ?? [end.i_id]) {
          this.#checkWrong({ ...end, i_id, exit: this.#exits.get(i_id) ?? null });
          this.#wrong.delete(i_id);
          this.#exits.delete(i_id);
        }
        this.#sections.delete(end.i_id);
        return;
      }
      case 'skip-frame':
        this.skipped.push(effect);
        return;
      case 'drained':
        this.drained = true;
    }
  }

  /** Counts a wrong prediction; throws where the coordinator already knew a node that caused it. */
  #checkWrong({ i_id, plan, outcome, exit }: FrameEnd): void {
    if (outcome === 'error') return;
    const { stages } = this.#facts.get(plan)!.plan;
    const ending = stages.find((stage) => exit !== null && stage.exit?.tensor === exit);
    for (const [part, liars] of this.#wrong.get(i_id) ?? []) {
      if (liars.length === 0 || (ending !== undefined && !part.startsWith(`${ending.id} `))) continue;
      this.spoiled.add(i_id);
      const known = liars.find((liar) => this.#out.has(liar));
      if (known !== undefined) throw new Error(`invariant 10: ${i_id} ends ${outcome} with wrong results of ${known}`);
    }
  }

  /** The node where a frame was born opens it, or sends it. */
  #fetch(i_id: string, at: string): void {
    this.#reach(this.#birthplaces.get(i_id)!, (node) => {
      const { unopened } = node.behaviour;
      const isOpen = at === CENTRAL || unopened === 0 || !this.random.chance(unopened);
      this.#send(node, 0, () => {
        if (!isOpen) this.tell({ type: 'frame-not-opened', i_id });
        else if (at !== CENTRAL) this.tell({ type: 'frame-opened', i_id });
        else this.#arrive(i_id);
      });
    });
  }

  /** The picture of a frame that was born at a node is at central. */
  #arrive(i_id: string): void {
    this.arrived.push(i_id);
    const whole = this.#wholes.get(i_id);
    if (whole !== undefined) this.#pictures.add(whole);
    this.#soon(0, { type: 'frame-taken', i_id });
    this.#soon(DECODE_MS, { type: 'frame-opened', i_id });
  }

  /** Delivers a message to a node: messages wait in the socket of a stopped process and are lost for a dead one. */
  #reach(id: string, act: (node: SimNode) => void, bytes = 0): void {
    const node = this.#nodes.get(id)!;
    const { boot } = node;
    this.at(this.now + node.behaviour.delayMs + bytes / node.behaviour.bytesPerMs, () => {
      if (node.boot !== boot || node.state === 'down') return;
      if (node.state === 'stopped') node.later.push(() => act(node));
      else act(node);
    });
  }

  /** A message from a node. */
  #send(node: SimNode, bytes: number, act: () => void): void {
    const { boot } = node;
    const go = (): void => this.at(this.now + node.behaviour.delayMs + bytes / node.behaviour.bytesPerMs, act);
    if (node.boot !== boot || node.state === 'down') return;
    if (node.state === 'stopped') node.later.push(go);
    else go();
  }

  #deliver(work: WorkEffect): void {
    const tiles = this.#facts.get(work.plan)!.stages[work.stage]!.parts;
    const wayOf = (t_id: number): PartWay | undefined => work.ways?.find((way) => way.t_id === t_id);
    const isInline = (t_id: number, k: number): boolean => isPacked(wayOf(t_id)?.in[k]);
    const elsewhere = (t_id: number): number =>
      tiles[t_id]!.links.reduce((sum, link, k) => (isInline(t_id, k) ? sum : sum + link.bytes), 0);
    const bytes = work.t_ids.reduce((sum, t_id) => sum + Math.max(0, tiles[t_id]!.bytes_in - elsewhere(t_id)), 0);
    if (work.node !== CENTRAL) {
      const { node, i_id, stage, attempt } = work;
      this.#soon(0, { type: 'work-sent', node, i_id, stage, attempt, bytes });
    }
    const wrong = this.#wrong.get(work.i_id);
    const liars = work.t_ids.map((t_id) => [
      ...new Set(
        tiles[t_id]!.links.flatMap((link, k) =>
          isInline(t_id, k) ? (wrong?.get(`${link.stage} ${link.t_id}`) ?? []) : [],
        ),
      ),
    ]);
    this.#reach(
      work.node,
      (node) => {
        const message = { arrived: this.now, queueMs: undefined };
        work.t_ids.forEach((t_id, k) => {
          const item = { work, t_id, message, liars: liars[k]!, way: wayOf(t_id) };
          if (this.#hasRoom(node, this.#bytesOf(work, t_id))) this.#admit(node, item);
          else this.#refuse(node, item, 'out-of-memory');
        });
        this.#work(node);
      },
      bytes,
    );
  }

  /** The links of a part that are neither with its work nor at its node. */
  #missing({ regions }: SimNode, { work, t_id, way }: Item, how: 'held' | 'any'): PartLink[] {
    const { links } = this.#facts.get(work.plan)!.stages[work.stage]!.parts[t_id]!;
    return links.filter((link, k) => {
      const source = way?.in[k];
      return (
        !isPacked(source) &&
        (how === 'any' || source?.held) &&
        regions.find(work.i_id, link, source?.from) === undefined
      );
    });
  }

  /** Queues a part, or has it wait for its inputs until its budget is over. */
  #admit(node: SimNode, item: Item): void {
    if (this.#missing(node, item, 'held').length > 0) this.#refuse(node, item, 'missing-input');
    else if (this.#missing(node, item, 'any').length === 0) node.queue.push(item);
    else {
      node.waiting.push(item);
      const { boot } = node;
      const end = (): void => {
        if (node.boot !== boot || !node.waiting.includes(item)) return;
        node.waiting.splice(node.waiting.indexOf(item), 1);
        this.#refuse(node, item, 'missing-input');
      };
      this.at(this.now + item.work.budget_ms, () => {
        if (node.state === 'stopped') node.later.push(end);
        else end();
      });
    }
  }

  /** A node sends regions of a part to another one. */
  #pass(node: SimNode, to: string, plan: string, regions: readonly RegionName[], liars: readonly string[]): void {
    if (this.random.chance(node.behaviour.dropped)) return;
    const [{ stage, t_id }] = regions as [RegionName];
    this.#send(node, this.#facts.get(plan)!.stages[stage]!.parts[t_id]!.bytes_out, () =>
      this.#reach(to, (receiver) => {
        if (!receiver.plans.has(plan)) return;
        for (const region of regions) receiver.regions.add(region, node.id, plan, liars);
        const there = receiver.waiting.filter((item) => this.#missing(receiver, item, 'any').length === 0);
        receiver.waiting = receiver.waiting.filter((item) => !there.includes(item));
        receiver.queue.push(...there);
        this.#work(receiver);
      }),
    );
  }

  #sendRegions(node: SimNode, { plan, i_id, stage, t_id, attempt, regions, to, request }: SendEffect): void {
    const found = regions.map((region) => node.regions.find(i_id, { stage, t_id, ...region }));
    const missing = regions.filter((_, k) => found[k] === undefined);
    if (missing.length > 0) {
      this.#send(node, 0, () => this.tell({ type: 'regions-missing', node: node.id, i_id, request, regions: missing }));
      return;
    }
    const { bytes_out: bytes } = this.#facts.get(plan)!.stages[stage]!.parts[t_id]!;
    this.#send(node, 0, () => this.tell({ type: 'regions-sent', node: node.id, i_id, request, bytes }));
    const liars = [...new Set(found.flatMap((region) => region!.liars))];
    const names = regions.map((region) => ({ i_id, stage, t_id, ...region }));
    for (const receiver of to)
      if (receiver !== CENTRAL) this.#pass(node, receiver, plan, names, liars);
      else if (!this.random.chance(node.behaviour.dropped))
        this.#send(node, this.#bytesOf({ plan, stage }, t_id), () => {
          const handle = handleOf(false, this.#order++, liars);
          this.tell({ type: 'regions-arrived', node: node.id, plan, i_id, stage, t_id, attempt, handle });
        });
  }

  /** Keeps and sends what a part made, as its work says; returns what the result says of it. */
  #distribute(node: SimNode, { work, t_id, way }: Item, liars: readonly string[]): MadeRegion[] {
    const { plan, i_id, stage } = work;
    const { out } = this.#facts.get(plan)!.stages[stage]!.parts[t_id]!;
    if (way === undefined) return out.map(({ tensor, bytes }) => ({ tensor, at: CENTRAL, bytes }));
    const said: MadeRegion[] = [];
    for (const { tensor, box, to } of way.out) {
      for (const receiver of to) {
        const region = { i_id, stage, t_id, tensor, box };
        if (receiver === node.id) node.regions.add(region, node.id, plan, liars);
        else if (receiver !== CENTRAL) this.#pass(node, receiver, plan, [region], liars);
      }
      const bytes = out.find((one) => one.tensor === tensor)!.bytes;
      said.push({ tensor, at: to.includes(CENTRAL) ? CENTRAL : node.id, bytes });
    }
    return said;
  }

  #bytesOf(work: Pick<WorkEffect, 'plan' | 'stage'>, t_id: number): number {
    const { bytes_in, bytes_out } = this.#facts.get(work.plan)!.stages[work.stage]!.parts[t_id]!;
    return bytes_in + bytes_out;
  }

  /** An idle node has room for one part, whatever its size. */
  #hasRoom({ queue, waiting, running, behaviour }: SimNode, bytes: number): boolean {
    const items = [...queue, ...waiting];
    const held = items.reduce((sum, { work, t_id }) => sum + this.#bytesOf(work, t_id), 0);
    return (items.length === 0 && !running) || held + bytes <= behaviour.memoryBytes;
  }

  /** Runs a node's queue, one tile after another. */
  #work(node: SimNode): void {
    if (node.running || node.state !== 'up') return;
    const item = node.queue.shift();
    if (item === undefined) return;
    node.running = true;
    const { work, t_id, message } = item;
    const { boot, behaviour } = node;
    const facts = this.#facts.get(work.plan)!.stages[work.stage]!.parts[t_id]!;
    const known = node.plans.has(work.plan);
    const computeMs = known ? facts.cost / behaviour.speed : 0;
    message.queueMs ??= this.now - message.arrived;
    const { queueMs } = message;
    const finish = (): void => {
      if (node.boot !== boot || node.state === 'down') return;
      if (node.state === 'stopped') {
        node.later.push(finish);
        return;
      }
      node.running = false;
      if (!known) this.#refuse(node, item, 'unknown-plan');
      else if (this.random.chance(behaviour.errors)) this.#refuse(node, item, 'run-failed', computeMs, queueMs);
      else this.#answer(node, item, computeMs, queueMs);
      this.#work(node);
    };
    this.at(this.now + computeMs, finish);
  }

  #refuse(node: SimNode, item: Item, code: WorkError, computeMs = 0, queueMs = 0): void {
    const missing = code === 'missing-input' ? this.#missing(node, item, 'any').map(({ tensor }) => tensor) : undefined;
    const told = { code, text: 'simulated', ...(missing === undefined ? {} : { missing }) };
    this.#respond(node, item, computeMs, queueMs, 0, (named) => ({ type: 'part-error', ...named, ...told }));
  }

  #answer(node: SimNode, item: Item, computeMs: number, queueMs: number): void {
    const { work, t_id, way } = item;
    const { links } = this.#facts.get(work.plan)!.stages[work.stage]!.parts[t_id]!;
    const lie = this.random.chance(node.behaviour.lies);
    // What came along with the work is used, though the same region of another maker may be here too.
    const read = links.flatMap((link, k) => {
      const source = way?.in[k];
      return isPacked(source) ? [] : (node.regions.find(work.i_id, link, source?.from)?.liars ?? []);
    });
    const liars = [...new Set([...item.liars, ...read, ...(lie ? [node.id] : [])])];
    const regions = this.#distribute(node, item, liars);
    const home = regions.filter(({ at }) => at === CENTRAL);
    const bytes = home.reduce((sum, region) => sum + region.bytes, 0);
    this.#respond(node, item, computeMs, queueMs, bytes, (named, times) => ({
      type: 'part-result',
      ...named,
      regions,
      ...times,
      ...(home.length === 0 ? {} : { handle: handleOf(lie, this.#order++, liars) }),
    }));
  }

  /** Sends an answer, or loses, repeats or delays it. */
  #respond(
    node: SimNode,
    { work, t_id }: Item,
    compute_ms: number,
    queue_ms: number,
    bytes: number,
    eventOf: (named: PartAnswer, times: { compute_ms: number; queue_ms: number }) => UntimedEvent,
  ): void {
    const { behaviour } = node;
    const { plan, i_id, stage, attempt } = work;
    const named = { node: node.id, plan, i_id, stage, t_id, attempt };
    const times_ms = behaviour.claims?.({ compute_ms, queue_ms }) ?? { compute_ms, queue_ms };
    this.done.set(node.id, (this.done.get(node.id) ?? 0) + 1);
    const times = this.random.chance(behaviour.lost) ? 0 : this.random.chance(behaviour.duplicated) ? 2 : 1;
    for (let k = 0; k < times; k++) {
      const late = this.random.chance(behaviour.reordered) ? this.random.next() * behaviour.reorderMs : 0;
      const deliver = (): void => this.#send(node, bytes, () => this.tell(eventOf(named, times_ms)));
      if (late > 0) this.at(this.now + late, deliver);
      else deliver();
    }
  }
}
